//! `holdfast account sign-ins`

use directory::{Account, Service, SignIn};

use crate::{output::Output, services::Services, told::moment};

/// Lists an account's sign-ins, the last first.
pub async fn listed(services: &Services, account: &Account, output: &Output) -> anyhow::Result<()> {
    for one in services.directory.sign_ins(account.id)? {
        let service = one.service.map_or("several", Service::name);
        if output.json() {
            let object = serde_json::json!({
                "service": service,
                "result": one.result.name(),
                "first_ms": one.first_ms,
                "last_ms": one.last_ms,
                "count": one.count,
                "peer": one.peer.map(|peer| peer.to_string()),
                "programs": one.programs,
                "app_password": one.app_password,
                "new": one.new,
            });
            output.object(object).await;
        } else {
            output.line(in_words(&one, service)).await;
        }
    }
    Ok(())
}

fn in_words(one: &SignIn, service: &str) -> String {
    let peer = one.peer.map_or_else(|| "several networks".to_owned(), |peer| peer.to_string());
    let mut line =
        format!("{}  {service:<11} {:<14} {peer:<20} x{}", moment(one.last_ms), one.result.name(), one.count);
    if let Some(name) = &one.app_password {
        line.push_str(&format!("  app password {name}"));
    }
    if !one.programs.is_empty() {
        line.push_str(&format!("  {}", one.programs.join(", ")));
    }
    if one.new {
        line.push_str("  new");
    }
    line
}
