"""What several test folders share: the scripted router, the doors."""
