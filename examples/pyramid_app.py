"""A Pyramid application whose requests are measured: `python pyramid_app.py`.

The views are the patterns of the routes; /metrics shows them. In production set
APPMETRICS_CONFIG to an ini file with [metrics], or `appmetrics.config` in the settings.
"""

from pyramid.config import Configurator
from pyramid.response import Response

import appmetrics

greetings = appmetrics.get_meter("hello").counter("greetings", "Visitors who were greeted")


def hello(request):
    """Greets one visitor."""
    greetings.inc()
    return Response(f"Hello, {request.matchdict['name']}.\n", content_type="text/plain")


def main(global_config, **settings):
    """The application; PasteDeploy's factory as well."""
    with Configurator(settings=settings) as config:
        config.include("appmetrics.contrib.pyramid")
        config.add_route("hello", "/hello/{name}")
        config.add_view(hello, route_name="hello")
        return config.make_wsgi_app()


if __name__ == "__main__":
    from waitress import serve

    serve(main({}, **{"appmetrics.path": "/metrics"}), listen="127.0.0.1:8080")
