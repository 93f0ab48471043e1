//! Mobius in memory: servers, connections, and the network between them and the line.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures_util::{future::BoxFuture, stream};
use parking_lot::Mutex;
use url::Url;
use webex_core::{HttpError, REQUEST_TIMEOUT};

use super::{
    super::requests::Rediscover,
    rules::{Kind, Rules},
};
use crate::{
    mobius::transport::{MobiusEvents, MobiusFuture, MobiusTransport, RegisterError},
    registration::tests::bench::{self, *},
};

/// The longest `Retry-After` of these servers.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(150);

/// The behaviour of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Up,
    /// Nothing there: connections are refused at once.
    Dead,
    /// Requests are accepted and never answered.
    Silent,
    /// Requests take effect, but the answer is lost.
    Mute,
    /// Every request is answered with this status, and possibly a `Retry-After` in seconds.
    Refusing(u16, Option<u64>),
    /// Registrations are answered 403 with this code.
    Forbidding(i64),
}

#[derive(Debug)]
pub(super) struct Server {
    pub(super) url: Url,
    pub(super) mode: Mode,
    /// Whether the server accepts a second registration of the user.
    takes_two: bool,
    pub(super) held: Vec<Held>,
    connected: bool,
}

/// A registration at a server.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) id: u64,
    pub(super) expires: Instant,
    pub(super) told: Known,
    pub(super) superseded: bool,
    /// The number of the WDM device that it names.
    pub(super) client: u32,
}

/// What the line knows about a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing: the answer is on its way, or was lost.
    Nothing,
    /// That it was granted.
    Granted,
    /// It was granted, and its deletion was requested.
    Deleting,
    /// It is lost, or was not deleted in spite of the request.
    Lost,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) servers: Vec<Server>,
    pub(super) lists: Arc<Servers>,
    pub(super) interval: Duration,
    pub(super) rehoming: (Duration, Duration),
    /// A device that takes up the user's limit, and whether it is ours.
    pub(super) stranger: Option<bool>,
    /// The number of the present WDM device.
    pub(super) client: u32,
    pub(super) discovery: Mode,
    pub(super) rules: Rules,
    pub(super) random: fastrand::Rng,
    next_id: u64,
    /// Wake-up times of requests.
    wakes: Vec<Instant>,
}

impl World {
    pub(super) fn new(primaries: usize, backups: usize, mut random: fastrand::Rng) -> Self {
        let lists = bench::servers(primaries, backups);
        let all = lists.primary.iter().chain(&lists.backup).cloned();
        let servers = all.map(|url| Server {
            url,
            mode: Mode::Up,
            takes_two: random.bool(),
            held: Vec::new(),
            connected: false,
        });
        let servers: Vec<_> = servers.collect();
        let now = Instant::now();
        let interval = secs(random.u64(10..=60));
        let soonest = secs(random.u64(120..=600));
        Self {
            now,
            servers,
            lists: Arc::new(lists),
            interval,
            rehoming: (soonest, soonest + secs(random.u64(0..=600))),
            stranger: None,
            client: 1,
            discovery: Mode::Up,
            rules: Rules::new(now, interval),
            random,
            next_id: 0,
            wakes: Vec::new(),
        }
    }

    /// The next wake-up time of a request.
    pub(super) fn next_wake(&mut self) -> Option<Instant> {
        let now = self.now;
        self.wakes.retain(|wake| *wake > now);
        self.wakes.iter().min().copied()
    }

    pub(super) fn server(&mut self, url: &Url) -> Option<&mut Server> {
        self.servers.iter_mut().find(|server| server.url == *url)
    }

    /// A new behaviour for a server: healthy in half of the cases.
    pub(super) fn random_mode(&mut self) -> Mode {
        let pause = self.random.u64(0..=LONGEST_PAUSE.as_secs());
        let pauses = [None, Some(pause), Some(pause)];
        let pause = pauses[self.random.usize(0..3)];
        match self.random.u8(0..40) {
            0..18 => Mode::Up,
            18..22 => Mode::Dead,
            22..25 => Mode::Silent,
            25..27 => Mode::Mute,
            27..31 => Mode::Refusing(429, pause),
            31..33 => Mode::Refusing(503, pause),
            33..36 => Mode::Refusing(500, None),
            36 => Mode::Refusing([400, 401, 404, 409][self.random.usize(0..4)], None),
            37 => Mode::Forbidding(103),
            _ => Mode::Forbidding(102),
        }
    }

    pub(super) fn has_connections(&self) -> bool {
        self.servers.iter().any(|server| server.connected)
    }

    pub(super) fn expire(&mut self) {
        let now = self.now;
        for server in &mut self.servers {
            server.held.retain(|held| held.expires > now);
        }
    }

    /// The registrations that the line has and knows about.
    pub(super) fn owned(&self) -> impl Iterator<Item = (&Server, &Held)> {
        let all =
            self.servers.iter().flat_map(|server| server.held.iter().map(move |h| (server, h)));
        all.filter(|(_, held)| held.told == Known::Granted && !held.superseded)
    }

    /// Whether a server has a registration that the line knows about and has not lost.
    pub(super) fn is_held(&self) -> bool {
        let mut all = self.servers.iter().flat_map(|server| &server.held);
        let known = |held: &Held| matches!(held.told, Known::Granted | Known::Deleting);
        all.any(|held| known(held) && !held.superseded)
    }

    /// Records that the line has lost, or given up, its registrations with this server, or with all.
    pub(super) fn disown(&mut self, server: Option<&Url>) {
        for held in self
            .servers
            .iter_mut()
            .filter(|it| server.is_none_or(|server| it.url == *server))
            .flat_map(|server| &mut server.held)
        {
            held.told = Known::Lost;
        }
    }

    fn device(server: &Url, id: u64, client: u32) -> MobiusDevice {
        MobiusDevice {
            device_id: id.to_string(),
            uri: server.join(&format!("devices/{id}")).unwrap_or_else(|_| server.clone()),
            last_seen: None,
            addresses: Vec::new(),
            client_device_uri: Some(client_device(client)),
        }
    }

    fn delay(&mut self) -> Duration {
        Duration::from_millis(self.random.u64(1..=400))
    }

    /// Performs a request at its server. Returns the answer, and whether it arrives.
    fn carry_out(&mut self, request: &Request) -> (Result<Option<Registration>, HttpError>, bool) {
        let (elsewhere, stranger) = (self.held_elsewhere(request), self.stranger);
        let (interval, rehoming, now) = (self.interval, self.rehoming, self.now);
        let Some(server) = self.servers.iter_mut().find(|it| it.url == request.server) else {
            return (Err(unreachable()), true);
        };
        let mode = server.mode;
        let heard = mode != Mode::Mute;
        match mode {
            Mode::Refusing(status, after) => return (Err(refused(status, None, after)), true),
            Mode::Forbidding(code) if request.kind == Kind::Register => {
                return (Err(refused(403, Some(code), None)), true);
            }
            _ => {}
        }
        let answer = match request.kind {
            Kind::Ping => Ok(None),
            Kind::Register => {
                if let Some((other, id, client)) = elsewhere.filter(|_| !server.takes_two) {
                    return (Err(full_of(&other, id, &client_device(client))), true);
                }
                if let Some(ours) = stranger {
                    let client =
                        if ours { client_device(request.client) } else { ANOTHER.to_owned() };
                    return (Err(full_of(&request.server, STRANGER, &client)), true);
                }
                // The same client device has one registration with a server.
                let expires = now + interval * 7 / 2;
                let client = request.client;
                let known = server.held.iter().find(|held| held.client == client);
                let id = known.map_or(self.next_id + 1, |held| held.id);
                server.held.retain(|held| held.client != client);
                let told = Known::Nothing;
                server.held.push(Held { id, expires, told, superseded: false, client });
                self.next_id = self.next_id.max(id);
                let device = Self::device(&request.server, id, client);
                Ok(Some(Registration {
                    device,
                    requested_for: Some(client_device(client)),
                    keepalive_interval: Some(interval),
                    call_keepalive_interval: None,
                    rehoming_interval_min: Some(rehoming.0),
                    rehoming_interval_max: Some(rehoming.1),
                    voice_portal_number: None,
                    voice_portal_extension: None,
                }))
            }
            Kind::Keepalive => match server.held.iter_mut().find(|held| held.id == request.id) {
                Some(held) if held.superseded => Err(refused(409, None, None)),
                Some(held) => {
                    held.expires = now + interval * 7 / 2;
                    Ok(None)
                }
                None => Err(refused(404, None, None)),
            },
            Kind::Deregister => {
                if request.id == STRANGER {
                    self.stranger = None;
                    Ok(None)
                } else if server.held.iter().any(|held| held.id == request.id) {
                    server.held.retain(|held| held.id != request.id);
                    Ok(None)
                } else {
                    Err(refused(404, None, None))
                }
            }
        };
        (answer, heard)
    }

    /// A registration of the line with another server, or for another WDM device.
    fn held_elsewhere(&self, request: &Request) -> Option<(Url, u64, u32)> {
        self.servers.iter().find_map(|it| {
            let same = |held: &Held| it.url == request.server && held.client == request.client;
            let held = it.held.iter().find(|held| !held.superseded && !same(held))?;
            Some((it.url.clone(), held.id, held.client))
        })
    }

    /// Records that the answer has reached the line.
    fn heard(&mut self, request: &Request, answer: &Result<Option<Registration>, HttpError>) {
        let now = self.now;
        let error = answer.as_ref().err();
        self.rules.answered(now, request.kind, &request.server, error);
        let id = match answer {
            Ok(Some(granted)) => granted.device.device_id.parse().unwrap_or_default(),
            // A registration that was to be deleted, and was not.
            Ok(None) if request.kind == Kind::Keepalive => request.id,
            // A server that fails to delete it twice will let it expire. A server that does not
            // know it has lost it.
            Err(error)
                if request.kind == Kind::Deregister
                    || (request.kind == Kind::Keepalive && error.status() == Some(404)) =>
            {
                let server = self.server(&request.server);
                let mut all = server.into_iter().flat_map(|server| &mut server.held);
                if let Some(held) = all.find(|held| held.id == request.id) {
                    held.told = Known::Lost;
                }
                return;
            }
            _ => return,
        };
        if let Some(server) = self.server(&request.server) {
            for held in server.held.iter_mut().filter(|held| held.id == id) {
                held.told = Known::Granted;
            }
        }
    }
}

/// The id of a device that is not a registration of this line.
const STRANGER: u64 = u64::MAX;

/// The WDM devices of the line, one after the other.
const OURS: &str = "https://wdm/devices/ours-";

/// The WDM device of another client.
const ANOTHER: &str = "https://wdm/devices/another";

/// The address of the WDM device with this number.
pub(super) fn client_device(number: u32) -> String {
    format!("{OURS}{number}")
}

fn full_of(server: &Url, id: u64, client: &str) -> HttpError {
    let body = format!(
        r#"{{"devices":[{{"deviceId":"{id}","uri":"{server}devices/{id}","clientDeviceUri":"{client}"}}]}}"#
    );
    refused_with(403, Some(101), None, body)
}

/// A request in flight.
#[derive(Debug, Clone)]
struct Request {
    kind: Kind,
    server: Url,
    /// Id of its registration.
    id: u64,
    /// The number of the WDM device that it names.
    client: u32,
    limit: Duration,
}

/// The transport. It checks that connections are open when needed.
#[derive(Debug, Clone)]
pub(super) struct Wire(pub(super) Arc<Mutex<World>>);

impl Wire {
    fn send(&self, kind: Kind, server: &Url, id: &str, limit: Duration) -> Sent {
        let mut world = self.0.lock();
        let now = world.now;
        let connected = world.server(server).is_none_or(|server| server.connected);
        world.rules.sent(now, kind, server, connected);
        let arrives = now + world.delay();
        world.wakes.push(arrives);
        let id = id.parse().unwrap_or_default();
        if kind == Kind::Deregister
            && let Some(server) = world.server(server)
        {
            let known = server.held.iter_mut().filter(|held| held.told == Known::Granted);
            known.filter(|held| held.id == id).for_each(|held| held.told = Known::Deleting);
        }
        let client = world.client;
        let request = Request { kind, server: server.clone(), id, client, limit };
        Sent { world: Arc::clone(&self.0), request, since: now, stage: OrphanStage::Going(arrives) }
    }

    fn unit(&self, kind: Kind, server: &Url, id: &str, limit: Duration) -> MobiusFuture<()> {
        let sent = self.send(kind, server, id, limit);
        Box::pin(async move { sent.await.map(drop) })
    }
}

enum OrphanStage {
    Going(Instant),
    Coming(Instant, Option<Box<Result<Option<Registration>, HttpError>>>),
}

/// A request, on the world's clock. If it is dropped early, it may or may not have taken effect.
struct Sent {
    world: Arc<Mutex<World>>,
    request: Request,
    since: Instant,
    stage: OrphanStage,
}

impl Future for Sent {
    type Output = Result<Option<Registration>, HttpError>;

    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let mut world = this.world.lock();
        if let OrphanStage::Going(at) = this.stage {
            if world.now < at {
                return Poll::Pending;
            }
            let mode = world.server(&this.request.server).map_or(Mode::Dead, |server| server.mode);
            let host = || this.request.server.host_str().unwrap_or_default().to_owned();
            let late = || HttpError::Timeout { host: host(), after: this.request.limit };
            let (answer, heard) = match mode {
                Mode::Dead => (Err(unreachable()), true),
                Mode::Silent => (Err(late()), false),
                _ => world.carry_out(&this.request),
            };
            let answer = if heard { answer } else { Err(late()) };
            let at =
                if heard { world.now + world.delay() } else { this.since + this.request.limit };
            world.wakes.push(at);
            this.stage = OrphanStage::Coming(at, Some(Box::new(answer)));
        }
        let OrphanStage::Coming(at, answer) = &mut this.stage else { return Poll::Pending };
        if world.now < *at {
            return Poll::Pending;
        }
        let answer = *answer.take().expect("polled after the end");
        world.heard(&this.request, &answer);
        Poll::Ready(answer)
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.world.lock().rules.ended(self.request.kind);
    }
}

impl MobiusTransport for Wire {
    fn connect(&self, server: &Url) -> MobiusFuture<()> {
        let mut world = self.0.lock();
        if let Some(server) = world.server(server) {
            server.connected = true;
        }
        Box::pin(std::future::ready(Ok(())))
    }

    fn register(&self, server: &Url) -> MobiusFuture<Registration, RegisterError> {
        let sent = self.send(Kind::Register, server, "", REQUEST_TIMEOUT);
        Box::pin(async move {
            let host = "m".to_owned();
            let nothing = || HttpError::Body { host, reason: "no registration".to_owned() };
            Ok(sent.await.and_then(|granted| granted.ok_or_else(nothing))?)
        })
    }

    fn keepalive(&self, server: &Url, device: &MobiusDevice) -> MobiusFuture<()> {
        self.unit(Kind::Keepalive, server, &device.device_id, KEEPALIVE_TIMEOUT)
    }

    fn unregister(&self, server: &Url, device: &MobiusDevice) -> MobiusFuture<()> {
        self.unit(Kind::Deregister, server, &device.device_id, REQUEST_TIMEOUT)
    }

    fn ping(&self, server: &Url) -> MobiusFuture<()> {
        self.unit(Kind::Ping, server, "", PING_TIMEOUT)
    }

    fn disconnect(&self, server: &Url) {
        if let Some(server) = self.0.lock().server(server) {
            server.connected = false;
        }
    }

    fn is_ours(&self, device: &MobiusDevice) -> bool {
        device.client_device_uri.as_ref().is_some_and(|uri| uri.starts_with(OURS))
    }

    fn events(&self) -> MobiusEvents {
        // Events of the servers are delivered by the run.
        Box::pin(stream::pending())
    }
}

impl Rediscover for Wire {
    fn rediscover(self: Arc<Self>) -> BoxFuture<'static, Result<Arc<Servers>, LineError>> {
        let mode = {
            let mut world = self.0.lock();
            let now = world.now;
            world.rules.rediscovering(now);
            let later = now + world.delay();
            world.wakes.push(later);
            (world.discovery, later)
        };
        Box::pin(Discovering { wire: self, mode: mode.0, at: mode.1 })
    }
}

struct Discovering {
    wire: Arc<Wire>,
    mode: Mode,
    at: Instant,
}

impl Future for Discovering {
    type Output = Result<Arc<Servers>, LineError>;

    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Self::Output> {
        let world = self.wire.0.lock();
        if world.now < self.at || self.mode == Mode::Silent {
            return Poll::Pending;
        }
        Poll::Ready(match self.mode {
            Mode::Up => Ok(Arc::clone(&world.lists)),
            Mode::Dead => Ok(Arc::default()),
            _ => Err(unreachable().into()),
        })
    }
}

/// Tests the world itself.
#[test]
fn a_server_answers_as_its_mode_says() {
    let wire = Wire(Arc::new(Mutex::new(World::new(1, 0, fastrand::Rng::with_seed(1)))));
    let server = url("https://p1/");
    let mut context = Context::from_waker(std::task::Waker::noop());
    let mut ask = |mode| {
        wire.0.lock().servers[0].mode = mode;
        drop(wire.connect(&server));
        let mut asked = wire.register(&server);
        for second in [0, 1, 1, 40] {
            wire.0.lock().now += secs(second);
            if let Poll::Ready(answer) = asked.as_mut().poll(&mut context) {
                return answer.map(drop).map_err(|refused| refused.error.status());
            }
        }
        panic!("never answered")
    };
    assert_eq!(ask(Mode::Up), Ok(()));
    assert_eq!(ask(Mode::Dead), Err(None));
    assert_eq!(ask(Mode::Silent), Err(None));
    assert_eq!(ask(Mode::Mute), Err(None));
    assert_eq!(ask(Mode::Refusing(429, Some(7))), Err(Some(429)));
    assert_eq!(ask(Mode::Forbidding(102)), Err(Some(403)));
}
