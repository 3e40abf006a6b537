"""Tests mirror the rooms; a name states the promise that a test holds."""
