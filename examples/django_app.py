"""A Django site in one file whose requests are measured: `python django_app.py runserver`.

The views are the routes; /metrics shows them. In production give "config", an ini file
with [metrics], in APPMETRICS, or set APPMETRICS_CONFIG.
"""

import sys

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

import appmetrics

settings.configure(
    ALLOWED_HOSTS=["localhost", "127.0.0.1"],
    INSTALLED_APPS=["appmetrics.contrib.django.AppMetricsConfig"],
    MIDDLEWARE=["appmetrics.contrib.django.middleware"],
    APPMETRICS={"path": "/metrics"},
    DEBUG=False,
    ROOT_URLCONF=__name__,
    SECRET_KEY="not a secret: this is an example",
)
django.setup()

greetings = appmetrics.get_meter("hello").counter("greetings", "Visitors who were greeted")


def hello(request, name):
    """Greets one visitor."""
    greetings.inc()
    return HttpResponse(f"Hello, {name}.\n", content_type="text/plain; charset=utf-8")


urlpatterns = [path("hello/<name>", hello)]
application = get_wsgi_application()

if __name__ == "__main__":
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
