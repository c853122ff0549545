//! What Redis must be like so that promises can be kept with it. It is asked at the start, and from time to time.

use super::fault::OpenError;
use super::link::Link;

/// The first version whose scripts can refuse to run on a secondary (Redis 7.0; Valkey begins at 7.2).
const VERSION_MIN: u32 = 7;

/// Holds every primary to the demands. Returns what each says of itself.
///
/// # Errors
/// [`OpenError::Unfit`], or it cannot be reached.
pub(super) async fn hold(link: &Link, url: &str) -> Result<Vec<String>, OpenError> {
    let url = url.to_owned();
    let infos = link.info("everything").await.map_err(|fault| OpenError::Unusable { url: url.clone(), fault })?;
    match infos.iter().find_map(|info| unfit(info)) {
        Some((wrong, cure)) => Err(OpenError::Unfit { url, wrong, cure }),
        None => Ok(infos),
    }
}

/// What is wrong with a server, by its `INFO`, and what helps.
fn unfit(info: &str) -> Option<(String, &'static str)> {
    let version = field(info, "redis_version").unwrap_or_default();
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok()).unwrap_or_default();
    if major < VERSION_MIN {
        return Some((format!("has version {version:?}"), "run Redis 7.0 or later, or Valkey"));
    }
    if field(info, "role") != Some("master") {
        return Some((
            "is a secondary of another server".to_owned(),
            "write the address of the primary, or those of the sentinels (redis+sentinel://…)",
        ));
    }
    let policy = field(info, "maxmemory_policy").unwrap_or("noeviction");
    if policy != "noeviction" {
        return Some((
            format!("throws keys away when its memory is full (`maxmemory-policy {policy}`)"),
            "set `maxmemory-policy noeviction`: logins and revocations would be lost without a word",
        ));
    }
    None
}

/// Without a log on the disk everything is lost with the process, which some people want.
pub(super) fn warn_of_losses(info: &str) {
    let has_log = field(info, "aof_enabled") == Some("1");
    let has_secondary = field(info, "connected_slaves").is_some_and(|count| count != "0");
    if !has_log && !has_secondary {
        tracing::warn!(
            "Redis keeps its writes in memory alone: a restart of it logs everybody out; set `appendonly yes`, and `appendfsync always` where nothing may be lost"
        );
    }
}

/// A field of `INFO`.
fn field<'i>(info: &'i str, name: &str) -> Option<&'i str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(version: &str, role: &str, policy: &str) -> String {
        format!("# Server\r\nredis_version:{version}\r\nrole:{role}\r\nmaxmemory_policy:{policy}\r\n")
    }

    #[test]
    fn a_primary_that_throws_nothing_away_fits() {
        assert_eq!(unfit(&info("7.0.15", "master", "noeviction")), None);
        assert_eq!(unfit(&info("8.1.0", "master", "noeviction")), None);
    }

    #[test]
    fn each_demand_is_held() {
        let check = |info: &str, wrong: &str| {
            let (found, cure) = unfit(info).unwrap();
            assert!(found.contains(wrong) && !cure.is_empty(), "{found}");
        };
        check(&info("6.2.7", "master", "noeviction"), "version \"6.2.7\"");
        check(&info("7.0.0", "slave", "noeviction"), "secondary");
        for policy in ["allkeys-lru", "volatile-ttl"] {
            check(&info("7.2.0", "master", policy), policy);
        }
        check("", "version");
    }
}
