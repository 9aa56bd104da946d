"""`python -m jibri_sip` is `jibri-sip`."""

from jibri_sip.cli import main

if __name__ == "__main__":
    main()
