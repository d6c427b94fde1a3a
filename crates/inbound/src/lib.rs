//! The judges of incoming mail: each gathers the facts about a message, asks `filter`, and answers [`delivery::Judge`].
