#!/usr/bin/python3
"""Substitute for Grafana, which is not in package registries: reads the mounted provisioning files,
rejects files that Grafana would reject, and serves a few routes of its API."""

import glob
import json
import os
import signal
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yaml

PROVISIONING = "/etc/grafana/provisioning"


def provisioned(kind):
    """All entries of a kind, such as the data sources."""
    paths = glob.glob(f"{PROVISIONING}/{kind}/*.yaml")
    assert paths, f"no files in {PROVISIONING}/{kind}"
    files = [yaml.safe_load(open(path)) for path in paths]
    assert all(file["apiVersion"] == 1 for file in files), f"a file in {PROVISIONING}/{kind} has an apiVersion other than 1"
    return [entry for file in files for entry in file[{"dashboards": "providers"}.get(kind, kind)]]


def panels(nodes):
    for node in nodes:
        yield node
        yield from panels(node.get("panels", []))


sources = {source["uid"]: source for source in provisioned("datasources")}
for source in sources.values():
    assert source["type"] in ("prometheus", "jaeger") and source["url"].startswith("http://"), source
dashboards = [json.load(open(path)) for provider in provisioned("dashboards") for path in glob.glob(provider["options"]["path"] + "/*.json")]
assert dashboards, "the providers' folders have no dashboards"
for dashboard in dashboards:
    chosen = {"${%s}" % variable["name"] for variable in dashboard["templating"]["list"]
              if any(source["type"] == variable["query"] for source in sources.values())}
    for panel in panels(dashboard["panels"]):
        uid = (panel.get("datasource") or {}).get("uid")
        assert uid is None or uid in sources or uid in chosen, f"panel {panel['title']!r} has the data source {uid}, want one of {list(sources)}"
assert os.environ["GF_AUTH_ANONYMOUS_ENABLED"] == "true", "dashboards need anonymous access"
open("/var/lib/grafana/grafana.db", "a").close()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        proxy = "/api/datasources/proxy/uid/"
        if self.path == "/api/health":
            self.respond({"database": "ok"})
        elif self.path.startswith("/api/search"):
            self.respond([{"type": "dash-db", "title": dashboard["title"], "uid": dashboard["uid"]} for dashboard in dashboards])
        elif self.path.startswith(proxy):
            uid, _, path = self.path[len(proxy):].partition("/")
            self.respond(json.load(urllib.request.urlopen(f"{sources[uid]['url']}/{path}", timeout=10)))
        else:
            self.send_error(404)

    def respond(self, value):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())


signal.signal(signal.SIGTERM, lambda *_: sys.exit())
ThreadingHTTPServer(("", 3000), Handler).serve_forever()
