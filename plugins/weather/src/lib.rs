//! The tool `weather_now`: one request to a public service that wants no key.
//!
//! It needs `http = ["https://api.open-meteo.com"]` in `[plugin.weather]`. The setting `url` names another server with the
//! same interface, which has to be granted in place of that one.

use serde::Deserialize;
use tinymcp::plugin::settings;
use wstd::http::{Body, Client, Request};

wit_bindgen::generate!({ world: "weather", path: "wit", generate_all });

/// Carries the WIT text into the component, so that its comments become the tool's description.
#[cfg(target_arch = "wasm32")]
#[unsafe(link_section = "tinymcp-wit")]
#[used]
static WIT: [u8; include_bytes!("../wit/world.wit").len()] = *include_bytes!("../wit/world.wit");

const SERVICE: &str = "https://api.open-meteo.com";

/// The part of an answer of the service that is read.
#[derive(Deserialize)]
struct Answer {
    current: Current,
}

#[derive(Deserialize)]
struct Current {
    time: String,
    temperature_2m: f64,
    wind_speed_10m: f64,
    weather_code: u8,
}

struct Weather;

impl Guest for Weather {
    fn now(latitude: f64, longitude: f64) -> Result<Report, String> {
        if !(-90.0..=90.0).contains(&latitude) || !(-180.0..=180.0).contains(&longitude) {
            return Err(format!(
                "{latitude}, {longitude} is nowhere on earth: latitudes are from -90 to 90, longitudes from -180 to 180"
            ));
        }
        let service = settings::get("url").unwrap_or_else(|| SERVICE.to_owned());
        let fields = "temperature_2m,wind_speed_10m,weather_code";
        let url = format!("{service}/v1/forecast?latitude={latitude}&longitude={longitude}&current={fields}");
        let Current { time, temperature_2m, wind_speed_10m, weather_code } =
            wstd::runtime::block_on(ask(&url))?.current;
        Ok(Report { time, sky: sky(weather_code).to_owned(), temperature: temperature_2m, wind_speed: wind_speed_10m })
    }
}

async fn ask(url: &str) -> Result<Answer, String> {
    let request = Request::get(url).body(Body::empty()).map_err(|error| format!("`{url}` is no URL: {error}"))?;
    let response = Client::new().send(request).await;
    let response = response.map_err(|error| format!("the weather service cannot be asked: {error}"))?;
    let (status, mut body) = (response.status(), response.into_body());
    if !status.is_success() {
        return Err(format!("the weather service answers {status}: try again later"));
    }
    body.json().await.map_err(|error| format!("the weather service does not answer as it did: {error}"))
}

/// The words for a code of the World Meteorological Organization (table 4677, as Open-Meteo uses it).
fn sky(code: u8) -> &'static str {
    match code {
        0 => "clear",
        1 | 2 => "partly cloudy",
        3 => "overcast",
        45 | 48 => "fog",
        51..=57 => "drizzle",
        61..=67 | 80..=82 => "rain",
        71..=77 | 85 | 86 => "snow",
        95..=99 => "thunderstorm",
        _ => "unknown",
    }
}

export!(Weather);
