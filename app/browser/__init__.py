"""`noisewalk SCENE --browser`: the flight through a browser, over the same session thread as the window."""
