"""Flying through a scene, without window and drawing: what a person can do, and the session thread that does it."""
