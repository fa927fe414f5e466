"""Contact plans in the text formats of other projects: NASA's HDTN and JPL's ION.

Both count whole seconds and whole rates, number nodes from 1, and know neither terminals, acquisition nor kinds of
links. Writing rounds inwards: starts up, ends and rates down, light times up. Reading puts in what the formats lack:

- node n is the scenario's node n - 1, satellites first, then ground sites;
- all contacts between two nodes share one ``link_id``, and one terminal at either end that serves no other link;
  those that overlap in the same direction (in HDTN's plans) are of several such links;
- acquisition is paid before the contact starts (``acquire_start_s`` is ``start_s``);
- a contact is ``TERRESTRIAL`` if both ends are ground sites, ``GROUND`` if one is, else ``ISL``.
"""
