"""Arguments: PORT LIMIT WINDOW_S."""

import sys

import waitress
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import path

port, limit, window_s = map(int, sys.argv[1:4])
settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": [],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "UNAUTHENTICATED_USER": None,
    },
)
application = get_wsgi_application()

from rest_framework.decorators import api_view, throttle_classes  # noqa: E402 - settings come first
from rest_framework.request import Request  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.throttling import AnonRateThrottle  # noqa: E402


class Throttle(AnonRateThrottle):
    rate = "quota"

    def parse_rate(self, rate: str | None) -> tuple[int, int]:
        """Return a window that its own grammar, so many per minute or hour, cannot name."""
        return limit, window_s


@api_view(["GET"])
@throttle_classes([Throttle])
def page(request: Request) -> Response:
    return Response("ok")


urlpatterns = [path("", page)]

waitress.serve(application, host="127.0.0.1", port=port)
