"""What a short script of one's own would do: start the image, wait for 200, get the same URLs, remove it."""

import sys
import time
import urllib.request

import docker

client = docker.from_env()
container = client.containers.run(
    sys.argv[1],
    detach=True,
    ports={"8080/tcp": ("127.0.0.1", None)},
    environment={"DATAROBOT_API_TOKEN": "token", "DATAROBOT_ENDPOINT": "https://app.datarobot.com/api/v2"},
)
try:
    container.reload()
    port = container.attrs["NetworkSettings"]["Ports"]["8080/tcp"][0]["HostPort"]
    for path in ["", *sys.argv[2:]]:
        for _ in range(200):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}") as response:
                    response.read()
                break
            except OSError:
                time.sleep(0.05)
        else:
            sys.exit(f"/{path} does not answer")
    container.stop()
finally:
    container.remove(force=True)
