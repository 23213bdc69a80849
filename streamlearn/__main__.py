"""``python -m streamlearn`` runs the ``streamlearn`` command line."""

from streamlearn.cli.app import main

if __name__ == "__main__":
    main()
