"""``python -m orbital_train`` is ``orbital-train``."""

from orbital_train.cli.main import main

if __name__ == "__main__":
    main()
