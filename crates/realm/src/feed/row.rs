//! What one commit did, as it is stored.

use std::collections::BTreeMap;

use prost::Message;

use super::thing::{Change, Id};

/// `71`: what a commit did.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RowRecord {
    /// When, in milliseconds since 1970.
    #[prost(int64, tag = "1")]
    pub at_ms: i64,
    /// Kind by kind.
    #[prost(message, repeated, tag = "2")]
    kinds: Vec<KindRecord>,
}

/// What a commit did to things of one kind.
#[derive(Clone, PartialEq, Message)]
struct KindRecord {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(uint64, repeated, tag = "2")]
    created: Vec<u64>,
    #[prost(uint64, repeated, tag = "3")]
    updated: Vec<u64>,
    #[prost(uint64, repeated, tag = "4")]
    destroyed: Vec<u64>,
    #[prost(string, repeated, tag = "5")]
    created_names: Vec<String>,
    #[prost(string, repeated, tag = "6")]
    updated_names: Vec<String>,
    #[prost(string, repeated, tag = "7")]
    destroyed_names: Vec<String>,
}

impl RowRecord {
    pub(super) fn of(touched: BTreeMap<(u8, Id), Change>, at_ms: i64) -> Self {
        let mut row = Self { at_ms, kinds: Vec::new() };
        for ((number, id), change) in touched {
            let kind = u32::from(number);
            if row.kinds.last().is_none_or(|last| last.kind != kind) {
                row.kinds.push(KindRecord { kind, ..KindRecord::default() });
            }
            let Some(last) = row.kinds.last_mut() else { continue };
            match (id, change) {
                (Id::Number(id), Change::Created) => last.created.push(id),
                (Id::Number(id), Change::Updated) => last.updated.push(id),
                (Id::Number(id), Change::Destroyed) => last.destroyed.push(id),
                (Id::Name(id), Change::Created) => last.created_names.push(id),
                (Id::Name(id), Change::Updated) => last.updated_names.push(id),
                (Id::Name(id), Change::Destroyed) => last.destroyed_names.push(id),
            }
        }
        row
    }

    /// All changes, always in the same order.
    pub(super) fn into_changes(self) -> impl Iterator<Item = (u32, Id, Change)> {
        self.kinds.into_iter().flat_map(|of| {
            let numbers =
                [(of.created, Change::Created), (of.updated, Change::Updated), (of.destroyed, Change::Destroyed)];
            let names = [
                (of.created_names, Change::Created),
                (of.updated_names, Change::Updated),
                (of.destroyed_names, Change::Destroyed),
            ];
            let kind = of.kind;
            let numbers = numbers
                .into_iter()
                .flat_map(move |(ids, change)| ids.into_iter().map(move |id| (kind, Id::Number(id), change)));
            let names = names
                .into_iter()
                .flat_map(move |(ids, change)| ids.into_iter().map(move |id| (kind, Id::Name(id), change)));
            numbers.chain(names)
        })
    }
}
