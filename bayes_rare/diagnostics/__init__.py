"""Whether a tail is sound: single checks, and a verdict of them all."""
