//! The folders that runs leave behind: the newest are kept.

use std::path::{Path, PathBuf};

/// Removes all but the newest folders of runs, and never that of `own`. What cannot be removed stays: nothing depends on it.
pub fn prune(state: &Path, keep: usize, own: &str) {
    let Ok(entries) = std::fs::read_dir(state.join("runs")) else { return };
    // An id begins with the time at which it was made.
    let id = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).is_some_and(is_id);
    let mut runs: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(id).collect();
    runs.sort_unstable();
    for folder in runs.iter().take(runs.len().saturating_sub(keep)).filter(|folder| !folder.ends_with(own)) {
        let _ = std::fs::remove_dir_all(folder);
    }
}

fn is_id(name: &str) -> bool {
    uuid::Uuid::try_parse(name).is_ok_and(|id| id.get_version_num() == 7 && id.to_string() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_oldest_runs_go() {
        let folder = tempfile::tempdir().unwrap();
        let runs = folder.path().join("runs");
        let names: Vec<String> =
            (0..5).map(|i| format!("0190000{i}-0000-7000-8000-000000000000")).chain(["mine".into()]).collect();
        names.iter().for_each(|name| std::fs::create_dir_all(runs.join(name)).unwrap());
        std::fs::write(runs.join("latest.json"), "{}").unwrap();
        let left = || names.iter().filter(|name| runs.join(name).exists()).cloned().collect::<Vec<_>>();
        prune(folder.path(), 5, "");
        assert_eq!(left(), names);
        prune(folder.path(), 2, &names[0]);
        assert_eq!(left(), [&names[..1], &names[3..]].concat());
        assert!(runs.join("latest.json").exists());
        prune(&folder.path().join("nowhere"), 2, "");
    }
}
