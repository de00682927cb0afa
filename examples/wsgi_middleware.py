"""A plain WSGI application, its requests counted and timed, its numbers at /metrics."""

from wsgiref.simple_server import make_server

from appmetrics.wsgi import Middleware


def application(environ, start_response):
    """Greets everybody. A framework would name the view by itself."""
    environ["appmetrics.request"].view = "hello"
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [b"Hello.\n"]


application = Middleware(application, metrics="/metrics")

if __name__ == "__main__":
    with make_server("127.0.0.1", 8080, application) as server:
        server.serve_forever()
