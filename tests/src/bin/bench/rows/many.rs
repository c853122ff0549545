//! A thousand plugins: variants of `hello`, compiled beforehand.

use std::time::Duration;

use crate::Plan;
use crate::figures::{Figures, Goal, Unit};
use crate::site::{Workshop, variant};
use crate::table::Line;

const MANY: u32 = 1000;
const FEW: u32 = 2;

/// Time to compile all of them, once.
const COMPILE_WITHIN: Duration = Duration::from_secs(300);

/// # Errors
/// When the server does not start.
pub(super) async fn measure(workshop: &Workshop, plan: Plan) -> anyhow::Result<Vec<Line>> {
    let many = workshop.kept_site("many", &workshop.hello)?;
    let missing: Vec<u32> = (0..MANY).filter(|number| !many.has(&file(*number))).collect();
    if !missing.is_empty() {
        eprintln!("compiling {} plugins, which takes a minute and is kept for the next time", missing.len());
    }
    for number in missing {
        many.put(&file(number), &variant(&workshop.hello, number))?;
    }
    // Compiles what is new, or what an engine of another version had compiled.
    workshop.tinymcp_within(&many, COMPILE_WITHIN).await?.0.end().await?;
    let few = workshop.empty_site()?;
    for number in 0..FEW {
        few.put(&file(number), &variant(&workshop.hello, number))?;
    }
    workshop.tinymcp(&few).await?.0.end().await?;

    let (mut times, mut memory_each) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        let (server, time) = workshop.tinymcp(&many).await?;
        let memory_of_many = server.settled_memory().await?;
        server.end().await?;
        let (server, _) = workshop.tinymcp(&few).await?;
        let memory_of_few = server.settled_memory().await?;
        server.end().await?;
        times.push(time);
        memory_each.push((memory_of_many - memory_of_few) / f64::from(MANY - FEW));
    }
    Ok(vec![
        Line::new("exec to `/readyz` 200", Figures::from_iter(times), Unit::Milliseconds).goal(Goal::AtMost(1.0)),
        Line::new("each, resident", Figures::from_iter(memory_each), Unit::Kibibytes)
            .goal(Goal::AtMost(300.0 * 1024.0)),
    ])
}

fn file(number: u32) -> String {
    format!("hello-{number:04}.wasm")
}
