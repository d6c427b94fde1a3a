//! SEARCH programs, read with a stack of our own so that no input can exhaust the thread's.

use super::super::command::{Flag, Partial, Search, SearchKey, SearchReturn};
use super::super::set::MessageSet;
use super::super::{MAX_DEPTH, MAX_LIST_ITEMS, MAX_SEARCH_KEYS};
use super::{
    Cursor,
    words::{Result, date},
};

/// CANCELUPDATE: one or more quoted tags (RFC 5267 section 4.3.5).
pub(super) fn cancel_update(c: &mut Cursor<'_>) -> Result<Vec<String>> {
    let mut tags = Vec::new();
    while tags.is_empty() || !c.at_end() {
        if tags.len() == MAX_LIST_ITEMS {
            return c.expected("fewer tags");
        }
        c.space()?;
        tags.push(c.string("the quoted tag of a search")?);
    }
    Ok(tags)
}

pub(super) fn search(c: &mut Cursor<'_>, uid: bool) -> Result<Search> {
    c.space()?;
    options_and_program(c, uid)
}

/// `[RETURN (...)] [CHARSET ...] program`.
pub(super) fn options_and_program(c: &mut Cursor<'_>, uid: bool) -> Result<Search> {
    let mut search = Search { uid, returns: None, has_charset: false, unknown_charset: None, key: SearchKey::All };
    if c.eat_word("RETURN") {
        c.space()?;
        search.returns = Some(returns(c)?);
        c.space()?;
    }
    if c.eat_word("CHARSET") {
        c.space()?;
        search.has_charset = true;
        return in_charset(c, search);
    }
    search.key = scored_program(c, &search)?;
    Ok(search)
}

/// The program, which is fuzzy if scores are asked for (RFC 6203 section 4).
fn scored_program(c: &mut Cursor<'_>, search: &Search) -> Result<SearchKey> {
    let at = c.position();
    let key = program(c)?;
    if search.returns.is_some_and(|returns| returns.relevancy) && !key.is_fuzzy() {
        return c.expected_at(at, "a search with FUZZY, as RELEVANCY was asked for");
    }
    Ok(key)
}

/// A charset and the program in it.
pub(super) fn in_charset(c: &mut Cursor<'_>, mut search: Search) -> Result<Search> {
    let charset = c.astring("a charset")?;
    if !["US-ASCII", "ASCII", "UTF-8", "UTF8"].iter().any(|ours| charset.eq_ignore_ascii_case(ours)) {
        search.unknown_charset = Some(charset);
        // The strings of the program can be anything now: nothing to gain from reading them.
        while c.peek().is_some() {
            c.take_while(|_| true);
        }
        return Ok(search);
    }
    c.space()?;
    search.key = scored_program(c, &search)?;
    Ok(search)
}

/// `(MIN PARTIAL 1:500)`.
pub(super) fn returns(c: &mut Cursor<'_>) -> Result<SearchReturn> {
    let mut r = SearchReturn::default();
    let at = c.position();
    c.list(|c| {
        if c.eat_word("PARTIAL") {
            c.space()?;
            r.partial = Some(partial(c)?);
            return Ok(());
        }
        let want = match () {
            () if c.eat_word("MIN") => &mut r.min,
            () if c.eat_word("MAX") => &mut r.max,
            () if c.eat_word("ALL") => &mut r.all,
            () if c.eat_word("COUNT") => &mut r.count,
            () if c.eat_word("SAVE") => &mut r.save,
            () if c.eat_word("CONTEXT") => &mut r.context,
            () if c.eat_word("UPDATE") => &mut r.update,
            () if c.eat_word("RELEVANCY") => &mut r.relevancy,
            () => return c.expected("MIN, MAX, ALL, COUNT, SAVE, PARTIAL, CONTEXT, UPDATE or RELEVANCY"),
        };
        *want = true;
        Ok(())
    })?;
    if r.partial.is_some() && r.all {
        // RFC 9394 section 3.1.
        return c.expected_at(at, "PARTIAL or ALL, not both");
    }
    // `RETURN ()` is `RETURN (ALL)` (RFC 4731 section 3.1).
    r.all |= r == SearchReturn::default();
    Ok(r)
}

/// `1:500`, or `-1:-500` from the end (RFC 9394 section 3.1).
pub(super) fn partial(c: &mut Cursor<'_>) -> Result<Partial> {
    let from_end = c.eat(b'-');
    let one = c.nz_number()?;
    c.byte(b':', "\":\" and a second number")?;
    if c.eat(b'-') != from_end {
        return c.expected("both numbers with a minus, or none");
    }
    let other = c.nz_number()?;
    Ok(Partial { first: one.min(other), last: one.max(other), from_end })
}

/// What is still to be closed while reading a program.
enum Open {
    /// A list, or the whole program: everything in it must match.
    List { keys: Vec<SearchKey>, outermost: bool },
    /// `NOT`, waiting for its key.
    Not,
    /// `FUZZY`, waiting for its key.
    Fuzzy,
    /// `OR`, waiting for one or two keys.
    Or(Option<SearchKey>),
}

/// `NOT`, `FUZZY` or `OR` and the space after it, if one stands next.
fn prefix(c: &mut Cursor<'_>) -> Result<Option<Open>> {
    let open = match () {
        () if c.eat_word("NOT") => Open::Not,
        () if c.eat_word("FUZZY") => Open::Fuzzy,
        () if c.eat_word("OR") => Open::Or(None),
        () => return Ok(None),
    };
    c.space()?;
    Ok(Some(open))
}

fn program(c: &mut Cursor<'_>) -> Result<SearchKey> {
    let mut stack = vec![Open::List { keys: Vec::new(), outermost: true }];
    let mut terms = 0;
    let mut lists = 0;
    loop {
        terms += 1;
        if terms > MAX_SEARCH_KEYS {
            return c.expected("at most 2000 search keys");
        }
        // What stands next: something that opens, or a key.
        if c.eat(b'(') {
            lists += 1;
            if lists > MAX_DEPTH {
                return c.expected("at most 50 nested lists");
            }
            stack.push(Open::List { keys: Vec::new(), outermost: false });
            while c.eat(b' ') {}
            continue;
        }
        if let Some(open) = prefix(c)? {
            stack.push(open);
            continue;
        }
        let mut done = key(c)?;
        // Hand the key to the one that waits for it, which may complete that one in turn.
        loop {
            match stack.pop() {
                Some(Open::Not) => done = not(done),
                Some(Open::Fuzzy) => done = fuzzy(done),
                Some(Open::Or(Some(first))) => done = join(first, done, false),
                Some(Open::Or(None)) => {
                    stack.push(Open::Or(Some(done)));
                    c.space()?;
                    break;
                }
                Some(Open::List { mut keys, outermost }) => {
                    keys.push(done);
                    if outermost && c.at_end() {
                        let all = all_of(keys);
                        return if too_deep(&all) { c.expected("a search nested less deeply") } else { Ok(all) };
                    }
                    if !outermost && c.eat(b')') {
                        lists -= 1;
                        done = all_of(keys);
                        continue;
                    }
                    c.space()?;
                    if !outermost && c.eat(b')') {
                        lists -= 1;
                        done = all_of(keys);
                        continue;
                    }
                    stack.push(Open::List { keys, outermost });
                    break;
                }
                None => return c.expected("the end of the line"),
            }
        }
    }
}

fn not(key: SearchKey) -> SearchKey {
    match key {
        SearchKey::Not(inner) => *inner,
        other => SearchKey::Not(Box::new(other)),
    }
}

fn fuzzy(key: SearchKey) -> SearchKey {
    match key {
        SearchKey::Fuzzy(inner) => SearchKey::Fuzzy(inner),
        other => SearchKey::Fuzzy(Box::new(other)),
    }
}

/// `a OR b` (or both), chains kept flat.
fn join(first: SearchKey, second: SearchKey, both: bool) -> SearchKey {
    let mut keys = Vec::new();
    for key in [first, second] {
        match key {
            SearchKey::Or(more) if !both => keys.extend(more),
            SearchKey::And(more) if both => keys.extend(more),
            key => keys.push(key),
        }
    }
    if both { SearchKey::And(keys) } else { SearchKey::Or(keys) }
}

fn all_of(mut keys: Vec<SearchKey>) -> SearchKey {
    if keys.len() == 1
        && let Some(only) = keys.pop()
    {
        return only;
    }
    let mut flat = Vec::with_capacity(keys.len());
    for key in keys {
        match key {
            SearchKey::And(more) => flat.extend(more),
            key => flat.push(key),
        }
    }
    SearchKey::And(flat)
}

/// Whether the tree is deeper than [`MAX_DEPTH`]: by levels, not by recursion.
fn too_deep(key: &SearchKey) -> bool {
    let mut level = vec![key];
    for _ in 0..MAX_DEPTH {
        let mut next = Vec::new();
        for key in level {
            match key {
                SearchKey::And(keys) | SearchKey::Or(keys) => next.extend(keys),
                SearchKey::Not(key) | SearchKey::Fuzzy(key) => next.push(key),
                _ => {}
            }
        }
        if next.is_empty() {
            return false;
        }
        level = next;
    }
    true
}

/// The messages without this flag.
fn unset(flag: Flag) -> SearchKey {
    SearchKey::Not(Box::new(SearchKey::Flag(flag)))
}

/// The keys that are named after a system flag (RFC 9051 section 6.4.4) and those of RFC 3501 about `\\Recent`.
fn of_system_flag(name: &str) -> Option<SearchKey> {
    Some(match name {
        "RECENT" => SearchKey::Flag(Flag::Recent),
        "OLD" => unset(Flag::Recent),
        "NEW" => SearchKey::And(vec![SearchKey::Flag(Flag::Recent), unset(Flag::Seen)]),
        "ANSWERED" => SearchKey::Flag(Flag::Answered),
        "DELETED" => SearchKey::Flag(Flag::Deleted),
        "DRAFT" => SearchKey::Flag(Flag::Draft),
        "FLAGGED" => SearchKey::Flag(Flag::Flagged),
        "SEEN" => SearchKey::Flag(Flag::Seen),
        "UNANSWERED" => unset(Flag::Answered),
        "UNDELETED" => unset(Flag::Deleted),
        "UNDRAFT" => unset(Flag::Draft),
        "UNFLAGGED" => unset(Flag::Flagged),
        "UNSEEN" => unset(Flag::Seen),
        _ => return None,
    })
}

fn key(c: &mut Cursor<'_>) -> Result<SearchKey> {
    if c.peek().is_some_and(|b| b.is_ascii_digit() || matches!(b, b'*' | b'$')) {
        return Ok(SearchKey::Sequence(MessageSet::read(c)?));
    }
    let at = c.position();
    let text = |c: &mut Cursor<'_>| {
        c.space()?;
        c.astring("a string")
    };
    let day = |c: &mut Cursor<'_>| {
        c.space()?;
        date(c)
    };
    let number = |c: &mut Cursor<'_>| {
        c.space()?;
        c.number64()
    };
    let keyword = |c: &mut Cursor<'_>| {
        c.space()?;
        Ok(Flag::Keyword(c.atom("a keyword")?.to_owned()))
    };
    let name = c.keyword("a search key")?;
    if let Some(key) = of_system_flag(&name) {
        return Ok(key);
    }
    Ok(match name.as_str() {
        "ALL" => SearchKey::All,
        "KEYWORD" => SearchKey::Flag(keyword(c)?),
        "UNKEYWORD" => unset(keyword(c)?),
        "BCC" => SearchKey::Bcc(text(c)?),
        "CC" => SearchKey::Cc(text(c)?),
        "FROM" => SearchKey::From(text(c)?),
        "TO" => SearchKey::To(text(c)?),
        "SUBJECT" => SearchKey::Subject(text(c)?),
        "BODY" => SearchKey::Body(text(c)?),
        "TEXT" => SearchKey::Text(text(c)?),
        "HEADER" => SearchKey::Header { name: text(c)?, value: text(c)? },
        "BEFORE" => SearchKey::Before(day(c)?),
        "ON" => SearchKey::On(day(c)?),
        "SINCE" => SearchKey::Since(day(c)?),
        "SAVEDBEFORE" => SearchKey::SavedBefore(day(c)?),
        "SAVEDON" => SearchKey::SavedOn(day(c)?),
        "SAVEDSINCE" => SearchKey::SavedSince(day(c)?),
        // Every mailbox here has them (RFC 8514 section 4.3).
        "SAVEDATESUPPORTED" => SearchKey::All,
        "SENTBEFORE" => SearchKey::SentBefore(day(c)?),
        "SENTON" => SearchKey::SentOn(day(c)?),
        "SENTSINCE" => SearchKey::SentSince(day(c)?),
        "LARGER" => SearchKey::Larger(number(c)?),
        "SMALLER" => SearchKey::Smaller(number(c)?),
        "YOUNGER" => SearchKey::Younger(interval(c)?),
        "OLDER" => SearchKey::Older(interval(c)?),
        "MODSEQ" => modseq(c)?,
        "UID" => {
            c.space()?;
            SearchKey::Uid(MessageSet::read(c)?)
        }
        "EMAILID" => SearchKey::EmailId(text(c)?),
        "THREADID" => SearchKey::ThreadId(text(c)?),
        _ => return c.expected_at(at, "a search key"),
    })
}

fn interval(c: &mut Cursor<'_>) -> Result<u32> {
    c.space()?;
    c.nz_number()
}

/// `MODSEQ [entry-name entry-type] n`; there is one modseq for all flags of a message here.
fn modseq(c: &mut Cursor<'_>) -> Result<SearchKey> {
    c.space()?;
    if c.peek() == Some(b'"') {
        c.string("an entry name")?;
        c.space()?;
        if !(c.eat_word("priv") || c.eat_word("shared") || c.eat_word("all")) {
            return c.expected("priv, shared or all");
        }
        c.space()?;
    }
    Ok(SearchKey::ModSeq(c.number64()?))
}
