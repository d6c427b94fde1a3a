//! `[sending]`: what each account may send to other servers.

use serde::{Deserialize, Serialize};

use super::Span;

/// What each account may send to other servers, and what looks as if an account was stolen. 0 is unlimited, or never.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sending {
    /// Messages within an hour.
    pub messages_per_hour: u32,
    /// Messages within a day.
    pub messages_per_day: u32,
    /// Recipients within an hour.
    pub recipients_per_hour: u32,
    /// Recipients within a day.
    pub recipients_per_day: u32,
    /// Recipients within an hour whom the account has never written to.
    pub new_per_hour: u32,
    /// The same within a day.
    pub new_per_day: u32,
    /// The share of all these that a new account has, in percent.
    pub at_first: u32,
    /// How long until it has all.
    pub grow_over: Span,
    /// Bounces within a day that stop sending.
    pub stop_at_bounces: u32,
    /// Messages beyond the limits within a day that stop sending.
    pub stop_at_refusals: u32,
    /// So many times more new recipients than usual within a day stop sending.
    pub stop_at_jump: u32,
}

impl Default for Sending {
    fn default() -> Self {
        let delivery::SendingLimits {
            messages_per_hour,
            messages_per_day,
            recipients_per_hour,
            recipients_per_day,
            new_per_hour,
            new_per_day,
            at_first_percent,
            grow_over,
            stop_at_bounces,
            stop_at_refusals,
            stop_at_jump,
        } = delivery::SendingLimits::default();
        Self {
            messages_per_hour,
            messages_per_day,
            recipients_per_hour,
            recipients_per_day,
            new_per_hour,
            new_per_day,
            at_first: at_first_percent,
            grow_over: Span(grow_over),
            stop_at_bounces,
            stop_at_refusals,
            stop_at_jump,
        }
    }
}

impl Sending {
    /// As delivery has them.
    pub fn limits(&self) -> delivery::SendingLimits {
        delivery::SendingLimits {
            messages_per_hour: self.messages_per_hour,
            messages_per_day: self.messages_per_day,
            recipients_per_hour: self.recipients_per_hour,
            recipients_per_day: self.recipients_per_day,
            new_per_hour: self.new_per_hour,
            new_per_day: self.new_per_day,
            at_first_percent: self.at_first,
            grow_over: self.grow_over.0,
            stop_at_bounces: self.stop_at_bounces,
            stop_at_refusals: self.stop_at_refusals,
            stop_at_jump: self.stop_at_jump,
        }
    }
}
