"""Tests of the appliance: what is checked without an image, and, slowly, the image itself."""
