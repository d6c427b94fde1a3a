//! What people ask for: to renew now, how everything is, and whether the names lead here.

use super::{Certificates, Entry};
use crate::{
    names::Group,
    patience,
    shown::{self, Shown},
    state::Due,
    trouble::Trouble,
};

impl Certificates {
    /// Renews now, whatever is due: the group of this name, or everything. Gives how each went.
    ///
    /// # Errors
    /// There is no such name, or nothing to order.
    pub async fn renew(&self, name: Option<&str>) -> Result<Vec<(String, Result<(), Trouble>)>, Trouble> {
        let wanted = name.map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        let is_meant = |group: &Group| {
            wanted.as_ref().is_none_or(|name| {
                group.id == *name || group.id.strip_prefix("domain:") == Some(name) || group.names.contains(name)
            })
        };
        let meant: Vec<Group> = self.groups()?.into_iter().filter(is_meant).collect();
        if let (true, Some(name)) = (meant.is_empty(), name) {
            return Err(Trouble::Own(format!("there is no certificate for {name}: see `holdfast certificate list`")));
        }
        let mut all = Vec::new();
        for group in meant {
            // Someone has just changed the DNS, say.
            if let Some(entry) = self.inner.entries.write().get_mut(&group.id) {
                entry.looked_ms = None;
            }
            // Who asks for it may know better than this machine's DNS where the service's own names lead.
            let names = if group.is_own { group.names.clone() } else { self.names_to_order(&group).await };
            if names.is_empty() {
                if wanted.is_some() {
                    all.push((group.id, Err(Trouble::Own("none of its names leads to this service".to_owned()))));
                }
                continue;
            }
            let outcome = match self.must_wait(&group, &names) {
                Some(wait) => Err(wait),
                None => self.order(&group, &names).await,
            };
            all.push((group.id, outcome));
        }
        self.look();
        Ok(all)
    }

    /// Why not even someone who asks for it may order now.
    fn must_wait(&self, group: &Group, names: &[String]) -> Option<Trouble> {
        let now_ms = self.now_ms();
        let hold = self.inner.hold.lock().clone();
        // One that was only out of reach may be asked at any time.
        let is_held = self.inner.client.noticed().hold_until_ms.is_some() && self.held() > now_ms;
        if is_held {
            return Some(Trouble::Hold { why: hold.why, until_ms: self.held() });
        }
        let entries = self.inner.entries.read();
        let free = entries.get(&group.id)?.state.free_from(names, now_ms)?;
        let why = format!(
            "the authority has refused it {} times within the hour, and would refuse it again",
            patience::FAILURES_PER_HOUR
        );
        Some(Trouble::Hold { why, until_ms: free })
    }

    /// How everything is, own names first.
    pub fn list(&self) -> Vec<Shown> {
        let groups = self.groups().unwrap_or_default();
        let entries = self.inner.entries.read();
        let none = Entry::default();
        let now_ms = self.now_ms();
        let hold = self.held();
        groups
            .iter()
            .map(|group| {
                let entry = entries.get(&group.id).unwrap_or(&none);
                let due = entry.state.due(
                    &group
                        .names
                        .iter()
                        .filter(|name| !entry.elsewhere.contains_key(*name))
                        .cloned()
                        .collect::<Vec<_>>(),
                    entry.presented.as_ref().map(|one| one.certificate().as_ref()),
                    &self.inner.options.authority,
                    now_ms,
                );
                let next_ms = match due {
                    Due::Now(_) => Some(now_ms.max(hold)),
                    Due::At(at) => Some(at.max(hold)),
                    Due::Never => None,
                };
                shown::shown(group, entry, next_ms, now_ms)
            })
            .collect()
    }

    /// Whether the names lead to this service, as the DNS says now: each with the problem, if there is one.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn check(&self) -> Result<Vec<(String, Option<String>)>, Trouble> {
        let mut all = Vec::new();
        for group in self.groups()? {
            let found = self.look_where(&group.names, |_| false).await;
            all.extend(group.names.iter().map(|name| (name.clone(), found.get(name).cloned())));
        }
        Ok(all)
    }
}
