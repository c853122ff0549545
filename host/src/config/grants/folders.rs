//! Checks of `dirs` by the folders that are there: where they lie, and what they have no use without.

use std::io;

use crate::config::invocation::Invocation;
use crate::config::key::Key;
use crate::config::keys::Config;
use crate::config::problem::Fault;
use crate::config::reader::Reader;
use crate::folders::places::Places;

/// The places of this server that no plugin sees.
pub(in crate::config) fn places(config: &Config, invocation: &Invocation, reader: &Reader<'_>) -> Places {
    let beside = |name: &str| invocation.directory().join(name);
    let own = [
        (config.state.dir.clone(), "the state directory (`state.dir`)".to_owned()),
        (config.plugins.dir.clone(), "the plugins directory (`plugins.dir`)".to_owned()),
        (invocation.path().to_owned(), "the configuration".to_owned()),
        (config.plugins.lock.clone(), "the lock (`plugins.lock`)".to_owned()),
        (beside(".env"), "`.env`".to_owned()),
    ];
    let audit = config.audit.file.iter().map(|file| (file.clone(), "the audit (`audit.file`)".to_owned()));
    let files = reader.environment.files().filter(|(_, path)| path.exists());
    Places::new(
        own.into_iter().chain(audit).chain(files.map(|(name, path)| (path, format!("the file that `{name}` names")))),
    )
}

/// Checks the folders of every plugin that is not switched off.
pub(in crate::config) fn check(config: &Config, places: &Places, reader: &mut Reader<'_>) {
    for (name, plugin) in config.plugin.iter().filter(|(_, plugin)| plugin.enabled) {
        let key = Key::from("plugin").child(name.as_str()).child("dirs");
        for dir in &plugin.dirs {
            let folder = dir.host.display();
            let warning = match places.judge(&dir.host) {
                Ok(Err(refused)) => {
                    reader.conflict(std::slice::from_ref(&key), refused.to_string());
                    None
                }
                Ok(Ok(())) if !dir.host.is_dir() => {
                    Some(format!("`{folder}` is not a folder, and the plugin does not see it"))
                }
                Ok(Ok(())) => None,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    Some(format!("`{folder}` does not exist, and the plugin does not see it: create it"))
                }
                Err(error) => Some(format!("`{folder}` cannot be looked at: {error}")),
            };
            let unbound = (dir.is_writable() && dir.quota.is_none())
                .then(|| format!("`{folder}` has no `quota`: the plugin may fill the disk that it is on"));
            for warning in [warning, unbound].into_iter().flatten() {
                reader.warn(&key, Fault::Conflict(warning));
            }
        }
    }
}
