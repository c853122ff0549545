"""The tool `weather_py_now`: `plugins/weather` in Python, with the `urllib.request` of every Python.

It needs `http = ["https://api.open-meteo.com"]` in `[plugin.weather-py]`.
"""

import json
import urllib.error
import urllib.request

import wit_world
from componentize_py_types import Err
from wit_world.imports import settings

SERVICE = "https://api.open-meteo.com"

# Codes of the World Meteorological Organization (table 4677, as Open-Meteo uses it), each kind by its first and last.
SKIES = [
    (0, 0, "clear"),
    (1, 2, "partly cloudy"),
    (3, 3, "overcast"),
    (45, 48, "fog"),
    (51, 57, "drizzle"),
    (61, 67, "rain"),
    (71, 77, "snow"),
    (80, 82, "rain"),
    (85, 86, "snow"),
    (95, 99, "thunderstorm"),
]


class WitWorld(wit_world.WitWorld):
    """The function of `wit/world.wit`."""

    def now(self, latitude: float, longitude: float) -> wit_world.Report:
        if not -90 <= latitude <= 90 or not -180 <= longitude <= 180:
            raise Err(
                f"{latitude}, {longitude} is nowhere on earth: "
                "latitudes are from -90 to 90, longitudes from -180 to 180"
            )
        current = ask(settings.get("url") or SERVICE, latitude, longitude)
        return wit_world.Report(
            time=current["time"],
            sky=sky(current["weather_code"]),
            temperature=current["temperature_2m"],
            wind_speed=current["wind_speed_10m"],
        )


def ask(service: str, latitude: float, longitude: float) -> dict:
    """The weather as the service tells it."""
    fields = "temperature_2m,wind_speed_10m,weather_code"
    url = f"{service}/v1/forecast?latitude={latitude}&longitude={longitude}&current={fields}"
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return json.load(answer)["current"]
    except urllib.error.HTTPError as error:
        raise Err(f"the weather service answers {error.code}: try again later")
    except urllib.error.URLError as error:
        raise Err(f"the weather service cannot be asked: {error.reason}")
    except (ValueError, KeyError) as error:
        raise Err(f"the weather service does not answer as it did: {error}")


def sky(code: int) -> str:
    """The words for a code."""
    return next((words for first, last, words in SKIES if first <= code <= last), "unknown")
