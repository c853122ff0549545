//! Gives back what it gets: every WIT type that has a JSON form, alone and nested.

use exports::tinymcp::echo::{figures, left, right};

wit_bindgen::generate!({ world: "echo", path: "wit" });

/// The WIT text, from which the host reads descriptions: toolchains drop them from the binary.
#[cfg(target_arch = "wasm32")]
#[used]
#[unsafe(link_section = "tinymcp-wit")]
static WIT: [u8; include_bytes!("../wit/world.wit").len()] = *include_bytes!("../wit/world.wit");

struct Echo;

/// Functions whose result is their parameter.
macro_rules! echo {
    ($($function:ident: $type:ty),* $(,)?) => {
        $(fn $function(value: $type) -> $type {
            value
        })*
    };
}

impl Guest for Echo {
    echo! {
        echo_bool: bool,
        echo_s8: i8,
        echo_u8: u8,
        echo_s16: i16,
        echo_u16: u16,
        echo_s32: i32,
        echo_u32: u32,
        echo_s64: i64,
        echo_u64: u64,
        echo_f32: f32,
        echo_f64: f64,
        echo_char: char,
        echo_string: String,
        echo_bytes: Vec<u8>,
        echo_list_string: Vec<String>,
        echo_list_list: Vec<Vec<u32>>,
        echo_tuple_one: (f64,),
        echo_tuple: (u32, String, Option<bool>),
        echo_record: Person,
        echo_list_record: Vec<Address>,
        echo_option: Option<String>,
        echo_option_record: Option<Address>,
        echo_list_option: Vec<Option<u32>>,
        echo_enum: Kind,
        echo_list_option_enum: Vec<Option<Kind>>,
        echo_flags: Permission,
        echo_variant: Shape,
        echo_list_variant: Vec<Shape>,
        echo_list_result: Vec<Result<u32, String>>,
        echo_bare_results: (Result<(), ()>, Result<u8, ()>, Result<(), u8>),
        echo_everything: Everything,
        outcome: Result<u32, String>,
        outcome_variant: Result<Person, Refusal>,
        outcome_record: Result<String, Address>,
        outcome_err: Result<(), Kind>,
        outcome_option: Result<Option<u32>, String>,
        undocumented: u32,
    }

    fn outcome_bare(fail: bool) -> Result<(), ()> {
        if fail { Err(()) } else { Ok(()) }
    }

    fn nothing(_value: String) {}

    fn silence() {}

    fn answer() -> u32 {
        42
    }

    fn join_many(
        house_number: u16,
        street: String,
        optional_note: Option<String>,
        list: Vec<i32>,
        flags: Permission,
    ) -> String {
        format!("{street} {house_number}, note {optional_note:?}, list {list:?}, {flags:?}")
    }
}

impl figures::Guest for Echo {
    fn bounds(figure: figures::Shape) -> (f64, f64) {
        use figures::Shape;
        match figure {
            Shape::Dot | Shape::Named(_) => (0.0, 0.0),
            Shape::Circle(radius) => (2.0 * radius, 2.0 * radius),
            Shape::Rectangle(size) => size,
            Shape::Polygon(corners) => {
                (extent(corners.iter().map(|corner| corner.x)), extent(corners.iter().map(|corner| corner.y)))
            }
        }
    }
}

/// The distance from the least to the greatest value; 0 for none.
fn extent(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let least = values.clone().reduce(f64::min).unwrap_or_default();
    let greatest = values.reduce(f64::max).unwrap_or_default();
    greatest - least
}

impl left::Guest for Echo {
    fn turn(degrees: u16) -> String {
        format!("{degrees} degrees to the left")
    }
}

impl right::Guest for Echo {
    fn turn(degrees: u16) -> String {
        format!("{degrees} degrees to the right")
    }
}

export!(Echo);
