"""When there is light and when there are links: illumination and the contact plan."""
