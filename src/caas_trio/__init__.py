"""Line servers on trio: a service, a library and the proof that both keep their promises."""

__version__ = "0.1.0"
