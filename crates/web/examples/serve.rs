//! The webmail alone over a store in a folder: `cargo run -p web --example serve -- FOLDER PORT`.
//! For trying out and for browser tests of this crate; the real service is `holdfast serve`.

use std::error::Error;
use std::net::Ipv4Addr;
use std::path::Path;

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use continuity::rewind::Rewinds;
use delivery::{Delivery, DeliveryOptions};
use directory::DirectoryOptions;
use people::People;
use testkit::House;
use tokio_util::sync::CancellationToken;
use web::{Peer, WebDoor, WebOptions, WebState};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().unwrap_or_else(|| "holdfast-data".to_owned());
    let port: u16 = args.next().unwrap_or_else(|| "8080".to_owned()).parse()?;
    let options = DirectoryOptions { hostname: "localhost".to_owned(), ..DirectoryOptions::default() };
    let House { store, directory, mailstore } = House::open_blocking(Path::new(&folder), options, true);
    let delivery = Delivery::new(store.clone(), directory.clone(), mailstore.clone(), DeliveryOptions::default())?;
    let options = WebOptions {
        setup_token: Some("setup-token".to_owned()),
        hostname: "localhost".to_owned(),
        ..WebOptions::default()
    };
    let (people, rewinds) =
        (People::new(store.clone()), Rewinds::new(store.clone(), mailstore.clone(), testkit::parts()));
    let spam = filter::spam::Spam::new(store.clone());
    let reports = reports::Reports::new(store.clone());
    let rules = rules::Rules::new(store.clone());
    let saved = saved::SavedSearches::new(store.clone());
    let shutdown = CancellationToken::new();
    let service = || domaincheck::Service { hostname: "localhost".to_owned(), ..domaincheck::Service::default() };
    let checks = domaincheck::Checks::new(directory.clone(), std::sync::Arc::new(dnskit::Zone::new()), service);
    let fetching = fetching::Fetching::new(
        fetching::Services {
            store: store.clone(),
            directory: directory.clone(),
            mailstore: mailstore.clone(),
            delivery: delivery.clone(),
            resolver: std::sync::Arc::new(dnskit::Zone::new()),
        },
        fetching::Policy::default(),
    )?;
    let state = WebState {
        fetching,
        directory,
        mailstore,
        people,
        spam,
        rules,
        saved,
        reports,
        rewinds,
        delivery,
        checks,
        options,
        shutdown,
    };
    tokio::runtime::Runtime::new()?.block_on(run(state, port))?;
    store.close();
    Ok(())
}

async fn run(state: WebState, port: u16) -> Result<(), Box<dyn Error>> {
    let shutdown = state.shutdown.clone();
    let running = tokio::spawn({
        let (delivery, shutdown) = (state.delivery.clone(), shutdown.clone());
        async move { delivery.run(shutdown).await }
    });
    let router = WebDoor::new(state).layer(from_fn(async |mut request: Request, next: Next| {
        request.extensions_mut().insert(Peer { addr: Ipv4Addr::LOCALHOST.into(), tls: false });
        next.run(request).await
    }));
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!("http://{}/setup?token=setup-token", listener.local_addr()?);
    axum::serve(listener, router)
        .with_graceful_shutdown(async move {
            let _ = tokio::signal::ctrl_c().await;
            shutdown.cancel();
        })
        .await?;
    running.await??;
    Ok(())
}
