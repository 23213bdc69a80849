"""``python -m streamlearn`` is the command ``streamlearn``."""

from streamlearn.cli.app import main

if __name__ == "__main__":
    main()
