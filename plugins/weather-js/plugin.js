// The tool `weather_js_now`: `plugins/weather` in JavaScript, with `fetch`. The world says `async func`, so that the
// function may await. It needs `http = ["https://api.open-meteo.com"]` in `[plugin.weather-js]`.
import { get as setting } from "tinymcp:plugin/settings@0.1.0";

const SERVICE = "https://api.open-meteo.com";

// Codes of the World Meteorological Organization (table 4677, as Open-Meteo uses it), each kind by its first and last.
const SKIES = [
  [0, 0, "clear"],
  [1, 2, "partly cloudy"],
  [3, 3, "overcast"],
  [45, 48, "fog"],
  [51, 57, "drizzle"],
  [61, 67, "rain"],
  [71, 77, "snow"],
  [80, 82, "rain"],
  [85, 86, "snow"],
  [95, 99, "thunderstorm"],
];

export async function now(latitude, longitude) {
  if (Math.abs(latitude) > 90 || Math.abs(longitude) > 180) {
    throw `${latitude}, ${longitude} is nowhere on earth: latitudes are from -90 to 90, longitudes from -180 to 180`;
  }
  const { current } = await ask(setting("url") ?? SERVICE, latitude, longitude);
  return {
    time: current.time,
    sky: SKIES.find(([first, last]) => first <= current.weather_code && current.weather_code <= last)?.[2] ?? "unknown",
    temperature: current.temperature_2m,
    windSpeed: current.wind_speed_10m,
  };
}

async function ask(service, latitude, longitude) {
  const fields = "temperature_2m,wind_speed_10m,weather_code";
  const url = `${service}/v1/forecast?latitude=${latitude}&longitude=${longitude}&current=${fields}`;
  let response;
  try {
    response = await fetch(url);
  } catch (error) {
    throw `the weather service cannot be asked: ${error.message}`;
  }
  if (!response.ok) throw `the weather service answers ${response.status}: try again later`;
  try {
    return await response.json();
  } catch (error) {
    throw `the weather service does not answer as it did: ${error.message}`;
  }
}
