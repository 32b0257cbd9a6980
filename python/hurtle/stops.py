"""How a person or the system asks for the end."""


class Terminated(BaseException):
    """SIGTERM came: what has come is kept, as with Ctrl-C."""


class HungUp(BaseException):
    """SIGHUP came: the terminal is gone. What has come is kept, as with Ctrl-C."""


STOPPED: tuple[type[BaseException], ...] = (KeyboardInterrupt, Terminated, HungUp)
"""What such a request looks like to the code that runs."""
