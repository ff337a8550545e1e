//! robots.txt (RFC 9309): what the owner of a site lets programs fetch.
//!
//! Lines are read and matched by `robotxt`, which follows the RFC (groups that are merged, the longest match, `*` and
//! `$`, percent-encoding). This file knows whose rules are asked when, and what it means when they cannot be had.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use robotxt::{BYTE_LIMIT, Robots};
use tokio::time::Instant;
use url::{Position, Url};

use crate::FetchError;

/// How long rules are good (RFC 9309, section 2.4: not more than 24 hours).
const GOOD: Duration = Duration::from_hours(24);
/// How long a refusal is good: whoever was refused may have asked the site's owner to change the rules. And how long a
/// site is left alone whose rules cannot be had.
const REFUSAL: Duration = Duration::from_mins(5);
/// How long old rules may stand in for those that cannot be had (section 2.3.1.4 suggests 30 days).
const STAND_IN: Duration = Duration::from_hours(30 * 24);
/// How much memory the rules of all sites may take.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;
/// What a site without rules takes.
const ENTRY_BYTES: usize = 256;

/// The most bytes of a robots.txt that are read. One more than are obeyed tells that there are more.
pub(crate) const MOST_BYTES: u64 = BYTE_LIMIT as u64 + 1;
/// Time for one robots.txt, within the time of the whole.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// What came of asking a site for its rules.
#[derive(Clone)]
enum Answer {
    /// Its rules; none if it has no robots.txt.
    Rules(Robots),
    /// It is there but cannot say now: nothing is allowed (section 2.3.1.4).
    Unreachable(FetchError),
}

#[derive(Clone)]
struct Copy {
    answer: Answer,
    asked: Instant,
    /// When the rules came, which is before `asked` where old ones stand in for new.
    came: Instant,
}

impl Copy {
    fn is_good(&self, url: &Url) -> bool {
        let age = self.asked.elapsed();
        match &self.answer {
            Answer::Rules(rules) if rules.is_url_allowed(url) && self.came == self.asked => age < GOOD,
            _ => age < REFUSAL,
        }
    }

    fn bytes(&self) -> u32 {
        let rules = match &self.answer {
            Answer::Rules(robots) => robots.rules().iter().map(|rule| rule.pattern().len() + 40).sum(),
            Answer::Unreachable(_) => 0,
        };
        u32::try_from(ENTRY_BYTES + rules).unwrap_or(u32::MAX)
    }
}

/// The rules of sites, asked for once each.
pub(crate) struct RobotsRules {
    /// The name by which rules call us.
    agent: String,
    copies: Cache<String, Arc<Copy>>,
}

impl RobotsRules {
    /// Rules for whoever calls itself `user_agent`.
    pub(crate) fn new(user_agent: &str) -> Self {
        let copies = Cache::builder()
            .max_capacity(CACHE_BYTES)
            .weigher(|origin: &String, copy: &Arc<Copy>| copy.bytes().saturating_add(origin.len() as u32))
            .build();
        // A product token is letters, underscores and hyphens (section 2.2.1); what follows is version and contact.
        let token = |letter: &char| letter.is_ascii_alphabetic() || matches!(letter, '_' | '-');
        Self { agent: user_agent.chars().take_while(token).collect(), copies }
    }

    /// Whether the rules of its site let `url` be fetched; `get` fetches a robots.txt, within [`MOST_BYTES`] and
    /// [`TIMEOUT`].
    pub(crate) async fn permit<F>(&self, url: &Url, get: impl FnOnce(Url) -> F) -> Result<(), FetchError>
    where
        F: Future<Output = Result<Vec<u8>, FetchError>>,
    {
        let copy = self.copy(url, get).await?;
        let host = || url.host_str().unwrap_or_default().to_owned();
        match &copy.answer {
            Answer::Rules(rules) if rules.is_url_allowed(url) => Ok(()),
            Answer::Rules(_) => Err(FetchError::RobotsDisallowed { host: host(), agent: self.agent.clone() }),
            Answer::Unreachable(error) => {
                let wait = REFUSAL.saturating_sub(copy.asked.elapsed());
                let retry_after = error.retry_after().unwrap_or_default().max(wait);
                Err(FetchError::RobotsUnreachable {
                    host: host(),
                    retry_after: Some(retry_after),
                    source: Arc::new(error.clone()),
                })
            }
        }
    }

    /// The rules of the site of `url`, which many may ask for at once and one fetches.
    async fn copy<F>(&self, url: &Url, get: impl FnOnce(Url) -> F) -> Result<Arc<Copy>, FetchError>
    where
        F: Future<Output = Result<Vec<u8>, FetchError>>,
    {
        let origin = url[..Position::BeforePath].to_owned();
        let old = self.copies.get(&origin).await;
        if let Some(copy) = old.as_ref().filter(|copy| copy.is_good(url)) {
            return Ok(Arc::clone(copy));
        }
        if old.is_some() {
            self.copies.invalidate(&origin).await;
        }
        let at = robotxt::robots_url(url).map_err(|_| FetchError::InvalidUrl { reason: "it has no robots.txt" })?;
        let asking = async { self.read(url, get(at).await, old.as_deref()).map(Arc::new) };
        self.copies.try_get_with(origin, asking).await.map_err(|error: Arc<FetchError>| (*error).clone())
    }

    /// What the answer to a request for a robots.txt means (section 2.3.1).
    fn read(&self, url: &Url, answer: Result<Vec<u8>, FetchError>, old: Option<&Copy>) -> Result<Copy, FetchError> {
        let asked = Instant::now();
        let rules = |robots| Ok(Copy { answer: Answer::Rules(robots), asked, came: asked });
        let error = match answer {
            Ok(text) => return rules(Robots::parse(&text, &self.agent)),
            // The site itself is where nobody may go, for now.
            Err(FetchError::AddressNotAllowed { host }) if url.host_str() == Some(&host) => {
                return Err(FetchError::AddressNotAllowed { host });
            }
            // Too many redirects, 404 and the like, a bomb, a redirect to where nobody may go: there is no robots.txt.
            Err(error) if !error.is_transient() => return rules(Robots::allow_all()),
            Err(error) => error,
        };
        let stand_in = old.filter(|old| old.came.elapsed() < STAND_IN && matches!(old.answer, Answer::Rules(_)));
        if let Some(old) = stand_in {
            return Ok(Copy { asked, ..old.clone() });
        }
        match error {
            FetchError::HttpStatus { .. } => Ok(Copy { answer: Answer::Unreachable(error), asked, came: asked }),
            // Without a connection the page could not be had either, and the error says it better.
            error => Err(error),
        }
    }
}
