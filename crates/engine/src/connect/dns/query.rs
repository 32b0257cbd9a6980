//! Resolves one name: the hosts file, then A and AAAA at the same time.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{Hosts, TokioResolver};
use tokio::time::{Instant, timeout};

use super::cache::Keep;
use super::{Answer, not_found};
use crate::connect::tcp;
use crate::error::{Code, Failure};

/// The most addresses of a name that are kept: a hostile zone may list thousands.
const MAX_ADDRESSES: usize = 64;

/// How long the second kind of address may take once the first is there (RFC 8305 §3, "Resolution Delay").
const GRACE: Duration = Duration::from_millis(50);

/// Bounds on a zone's time to live: short enough to follow a change, long enough that a zone with zero does not cost
/// a query per connection.
const SHORTEST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(3_600);

/// How long an answer without a time to live is kept.
const DEFAULT_TIME: Duration = Duration::from_secs(60);

/// Who answers.
pub(super) enum Source {
    /// Name servers, with our own queries.
    Servers(Box<Servers>),
    /// The C library: its configuration cannot be read here.
    System,
}

pub(super) struct Servers {
    resolver: TokioResolver,
    hosts: Hosts,
}

impl Source {
    /// Reads the system's configuration, unless `nameservers` are given. Blocks for a file read.
    pub(super) fn new(nameservers: &[SocketAddr]) -> Self {
        let servers = if nameservers.is_empty() { Servers::system() } else { Servers::given(nameservers) };
        servers.map_or(Self::System, |servers| Self::Servers(Box::new(servers)))
    }

    /// Looks one name up; the caller limits the time.
    pub(super) async fn resolve(&self, host: &str) -> (Answer, Keep) {
        match self {
            Self::Servers(servers) => servers.resolve(host).await,
            Self::System => ask_library(host).await,
        }
    }
}

impl Servers {
    fn system() -> Option<Self> {
        let mut builder = TokioResolver::builder_tokio().ok()?;
        let options = builder.options_mut();
        // Both are done here: the cache for all kinds of answers, the hosts file without a query for the kind
        // of address that it lacks.
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        Some(Self { resolver: builder.build().ok()?, hosts: Hosts::from_system().unwrap_or_default() })
    }

    fn given(nameservers: &[SocketAddr]) -> Option<Self> {
        let servers = nameservers.iter().map(|address| {
            let mut server = NameServerConfig::udp_and_tcp(address.ip());
            for connection in &mut server.connections {
                connection.port = address.port();
            }
            server
        });
        let config = ResolverConfig::from_name_servers(servers.collect());
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let options = builder.options_mut();
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        Some(Self { resolver: builder.build().ok()?, hosts: Hosts::default() })
    }

    async fn resolve(&self, host: &str) -> (Answer, Keep) {
        let Ok(name) = Name::from_ascii(host) else { return (Err(not_found()), Keep::Forever) };
        let known = self.hosts_file(&name);
        if !known.is_empty() {
            return (Ok(known), Keep::Forever);
        }
        let v4 = pin!(self.resolver.lookup(name.clone(), RecordType::A));
        let v6 = pin!(self.resolver.lookup(name.clone(), RecordType::AAAA));
        let (v4, v6) = Both { v4, v6, replies: (None, None) }.replies().await;
        conclude(&name, v4, v6)
    }

    fn hosts_file(&self, name: &Name) -> Rc<[IpAddr]> {
        let find = |kind| {
            let lookup = self.hosts.lookup_static_host(&Query::query(name.clone(), kind));
            lookup.as_ref().map(addresses).unwrap_or_default()
        };
        interleave(&find(RecordType::AAAA), &find(RecordType::A))
    }
}

type Reply = Result<Lookup, NetError>;

/// The two queries of a name and their results.
struct Both<V4, V6> {
    v4: V4,
    v6: V6,
    replies: (Option<Reply>, Option<Reply>),
}

impl<V4: Future<Output = Reply> + Unpin, V6: Future<Output = Reply> + Unpin> Both<V4, V6> {
    /// Waits for both; once one has addresses, only a moment for the other: some servers never answer AAAA.
    async fn replies(mut self) -> (Option<Reply>, Option<Reply>) {
        let has_addresses =
            |reply: &Option<Reply>| matches!(reply, Some(Ok(lookup)) if !addresses(lookup).is_empty());
        poll_fn(|context| {
            let both = self.poll(context);
            let enough = has_addresses(&self.replies.0) || has_addresses(&self.replies.1);
            if enough { Poll::Ready(()) } else { both }
        })
        .await;
        let rest = poll_fn(|context| self.poll(context));
        // Late is as good as never here.
        let _ = timeout(GRACE, rest).await;
        self.replies
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        poll_once(&mut self.v4, &mut self.replies.0, context);
        poll_once(&mut self.v6, &mut self.replies.1, context);
        if self.replies.0.is_some() && self.replies.1.is_some() { Poll::Ready(()) } else { Poll::Pending }
    }
}

fn poll_once(
    query: &mut (impl Future<Output = Reply> + Unpin),
    reply: &mut Option<Reply>,
    context: &mut Context<'_>,
) {
    if reply.is_none()
        && let Poll::Ready(result) = Pin::new(query).poll(context)
    {
        *reply = Some(result);
    }
}

fn conclude(name: &Name, v4: Option<Reply>, v6: Option<Reply>) -> (Answer, Keep) {
    let now = Instant::now().into_std();
    let (mut found, mut time, mut worst) = ([Vec::new(), Vec::new()], LONGEST, None);
    for (reply, found) in [v6, v4].into_iter().zip(&mut found) {
        match reply {
            Some(Ok(lookup)) => {
                *found = addresses(&lookup);
                time = time.min(lookup.valid_until().saturating_duration_since(now));
            }
            Some(Err(error)) => worst = Some(worse(worst, explain(name, &error))),
            None => {}
        }
    }
    let [v6, v4] = found;
    let addresses = interleave(&v6, &v4);
    if !addresses.is_empty() {
        return (Ok(addresses), Keep::For(time.max(SHORTEST)));
    }
    let failure = worst.unwrap_or_else(no_address);
    let keep = match failure.code {
        Code::DnsNotFound => Keep::Forever,
        Code::DnsNoAddress => Keep::For(DEFAULT_TIME),
        _ => Keep::Not,
    };
    (Err(failure), keep)
}

/// Of two failures of one name, the one that decides: a name that does not exist has neither kind of address, and "no
/// address" of one kind says nothing when the query for the other kind failed.
fn worse(known: Option<Failure>, new: Failure) -> Failure {
    let rank = |failure: &Failure| match failure.code {
        Code::DnsNoAddress => 0,
        Code::DnsNotFound => 3,
        Code::LocalFds | Code::LocalPorts => 2,
        _ => 1,
    };
    match known {
        Some(known) if rank(&known) >= rank(&new) => known,
        _ => new,
    }
}

/// Why the look-up of `name` failed.
fn explain(name: &Name, error: &NetError) -> Failure {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(records)) => match records.response_code {
            ResponseCode::NXDomain => not_found(),
            // A server that knows that there is no address says who says so (RFC 2308, section 2.2). Where aliases lead in
            // a circle, nobody does.
            ResponseCode::NoError if records.soa.is_none() && !records.query.name().eq_ignore_root(name) => {
                leads_nowhere()
            }
            ResponseCode::NoError => no_address(),
            code => temporary(code),
        },
        NetError::Dns(DnsError::ResponseCode(ResponseCode::NXDomain)) => not_found(),
        NetError::Dns(DnsError::ResponseCode(code)) => temporary(*code),
        NetError::Timeout => Failure::new(Code::TimeoutDns, "the name server did not answer in time"),
        NetError::Io(error) => explain_io(error),
        error => Failure::new(Code::DnsTemporary, error.to_string()),
    }
}

fn explain_io(error: &io::Error) -> Failure {
    let failure = tcp::classify(error);
    match failure.code {
        Code::LocalFds | Code::LocalPorts => failure,
        Code::TimeoutConnect => Failure::new(Code::TimeoutDns, "the name server did not answer in time"),
        _ => Failure::new(Code::DnsTemporary, format!("cannot query the name server: {error}")),
    }
}

fn no_address() -> Failure {
    Failure::new(Code::DnsNoAddress, "the name has no address")
}

fn leads_nowhere() -> Failure {
    Failure::new(Code::DnsTemporary, "the name is an alias that leads to no address")
}

fn temporary(code: ResponseCode) -> Failure {
    Failure::new(Code::DnsTemporary, format!("the name server failed: {code}"))
}

fn addresses(lookup: &Lookup) -> Vec<IpAddr> {
    lookup.answers().iter().filter_map(|record| record.data.ip_addr()).take(MAX_ADDRESSES).collect()
}

/// IPv6 first, then alternating, so that a broken family costs one try and not half of them (RFC 8305 §4).
fn interleave(v6: &[IpAddr], v4: &[IpAddr]) -> Rc<[IpAddr]> {
    let turns = v6.len().max(v4.len());
    let in_turn = (0..turns).flat_map(|turn| v6.get(turn).into_iter().chain(v4.get(turn)));
    in_turn.copied().take(MAX_ADDRESSES).collect()
}

async fn ask_library(host: &str) -> (Answer, Keep) {
    match tokio::net::lookup_host((host, 0)).await {
        Ok(found) => {
            let (v6, v4): (Vec<_>, Vec<_>) = found.map(|address| address.ip()).partition(IpAddr::is_ipv6);
            let addresses = interleave(&v6, &v4);
            let answer = if addresses.is_empty() { Err(no_address()) } else { Ok(addresses) };
            (answer, Keep::For(DEFAULT_TIME))
        }
        // The C library's reason reaches Rust as text only, and text decides nothing here: assuming that a retry may
        // help is the safe choice.
        Err(error) => (Err(explain_io(&error)), Keep::Not),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn addresses_take_turns_and_are_capped() {
        let v4 = |last: u8| IpAddr::from([192, 0, 2, last]);
        let v6 = |last: u16| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last]);
        assert_eq!(*interleave(&[v6(1), v6(2), v6(3)], &[v4(1)]), [v6(1), v4(1), v6(2), v6(3)]);
        assert_eq!(*interleave(&[], &[v4(1), v4(2)]), [v4(1), v4(2)]);
        let many: Vec<_> = (0..200).map(v4).collect();
        assert_eq!(interleave(&[v6(1)], &many).len(), MAX_ADDRESSES);
    }

    #[test]
    fn of_two_failures_the_telling_one_is_kept() {
        let failure = |code| Failure::new(code, "");
        for (first, second, kept) in [
            (Code::DnsNoAddress, Code::DnsTemporary, Code::DnsTemporary),
            (Code::TimeoutDns, Code::DnsNoAddress, Code::TimeoutDns),
            (Code::DnsTemporary, Code::DnsNotFound, Code::DnsNotFound),
            (Code::LocalFds, Code::TimeoutDns, Code::LocalFds),
        ] {
            assert_eq!(worse(Some(failure(first)), failure(second)).code, kept);
            assert_eq!(worse(Some(failure(second)), failure(first)).code, kept);
        }
    }
}
