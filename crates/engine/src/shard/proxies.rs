//! Which proxy a request goes through, and what its end says about that proxy.

use std::sync::Arc;
use std::time::Instant;

use super::attempt::{Attempted, MAX_RESENT};
use super::flight::Flight;
use super::{Core, Shard};
use crate::connect::proxy_lines;
use crate::error::Code;
use crate::options::{Proxy, ProxyId, Routes};
use crate::pool::OriginId;
use crate::request::Request;

impl Core {
    pub(super) fn proxy(&self, id: ProxyId) -> Option<&Proxy> {
        self.options.routes.proxies.get(usize::from(id.0))
    }

    /// The lines that a request in the clear has for a proxy; None: the proxy takes no requests.
    pub(super) fn lines_for(&self, id: ProxyId) -> Option<Arc<[u8]>> {
        let proxy = self.proxy(id).filter(|proxy| !proxy.kind.is_socks())?;
        Some(proxy_lines(proxy).into())
    }
}

fn through<'a>(routes: &'a Routes, request: &Request) -> &'a [ProxyId] {
    routes.through(request.is_https(), request.host())
}

impl Shard {
    /// Chooses the way that a request takes now.
    pub(super) fn set_route(&self, flight: &mut Flight) {
        flight.route = flight.origin;
        let routes = &self.core.options.routes;
        if routes.rules.is_empty() {
            return;
        }
        let among = through(routes, &flight.request);
        if let Some(proxy) = self.core.proxies.choose(among, Instant::now()) {
            let (target, http2) = (&flight.request.target, self.core.options.http2);
            flight.route = self.origins.borrow_mut().through(proxy, target, http2, flight.host);
        }
    }

    pub(super) fn proxy_of(&self, route: OriginId) -> Option<ProxyId> {
        self.origins.borrow_mut().get_mut(route)?.proxy
    }

    /// Learns about the proxy of an attempt. If it failed and another works, the request takes that one at once: no
    /// server has seen it.
    pub(super) fn leaves_proxy(&self, flight: &mut Flight, attempted: &Attempted) -> bool {
        let Some(proxy) = self.proxy_of(flight.route).filter(|_| flight.route != flight.origin) else {
            return false;
        };
        let code = attempted.exchanged.failure.as_ref().map(|failure| failure.code);
        let (health, now) = (&self.core.proxies, Instant::now());
        match code {
            Some(Code::ProxyRefused | Code::ProxyTimeout | Code::ProxyTls | Code::ProxyAuth) => {
                health.failed(proxy, now);
            }
            // Neither is known to be the proxy's fault, nor that it works.
            Some(Code::ProxyConnectStatus | Code::TimeoutJob | Code::TimeoutDeadline) => return false,
            Some(code) if matches!(code.class(), "local") => return false,
            _ => {
                health.worked(proxy);
                return false;
            }
        }
        let among = through(&self.core.options.routes, &flight.request);
        let leaves = health.has_other(among, proxy) && flight.resent() < MAX_RESENT;
        if leaves {
            flight.count_resend();
            self.set_route(flight);
        }
        leaves
    }
}
