//! A TCP proxy between a process and a store, which can break, hang or dawdle.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};
use tokio_util::task::AbortOnDropHandle;

/// How long the other side does not notice that a machine was lost. Where nothing tells it, it would be hours.
const UNNOTICED: Duration = Duration::from_secs(30);

/// What a valve does to what passes. Troubles overlap, so they are counted.
#[derive(Debug, Clone, Copy, Default)]
struct Troubles {
    cut: u32,
    frozen: u32,
    delay: Duration,
    /// How often whoever is connected was lost.
    losses: u64,
}

/// Something that traffic passes through and that can be shut: a store's, or one process' own.
#[derive(Debug, Default)]
pub struct Valve(watch::Sender<Troubles>);

/// A trouble, over when it is dropped.
#[derive(Debug)]
#[must_use = "the trouble is over when this is dropped"]
pub struct Trouble {
    valve: Arc<Valve>,
    end: fn(&mut Troubles),
}

impl Valve {
    /// Breaks every connection and refuses new ones.
    pub fn cut(self: &Arc<Self>) -> Trouble {
        self.trouble(|troubles| troubles.cut += 1, |troubles| troubles.cut -= 1)
    }

    /// Carries nothing; connections stay open, and new ones are accepted.
    pub fn freeze(self: &Arc<Self>) -> Trouble {
        self.trouble(|troubles| troubles.frozen += 1, |troubles| troubles.frozen -= 1)
    }

    /// Holds whatever passes for a twentieth of a second, in each direction.
    pub fn slow(self: &Arc<Self>) -> Trouble {
        self.trouble(
            |troubles| troubles.delay += Duration::from_millis(50),
            |troubles| troubles.delay -= Duration::from_millis(50),
        )
    }

    /// Lets nobody know what becomes of whoever is connected now, as when a machine loses its power: what is open stays
    /// open and carries nothing for half a minute, then breaks. New connections are not touched.
    pub fn lose(&self) {
        self.0.send_modify(|troubles| troubles.losses += 1);
    }

    fn trouble(self: &Arc<Self>, begin: fn(&mut Troubles), end: fn(&mut Troubles)) -> Trouble {
        self.0.send_modify(begin);
        Trouble { valve: self.clone(), end }
    }

    async fn is_cut(&self) {
        self.until(|troubles| troubles.cut > 0).await;
    }

    async fn until(&self, as_wanted: impl Fn(&Troubles) -> bool) {
        // The sender is this valve itself, so that it cannot be gone.
        let mut troubles = self.0.subscribe();
        let _seen = troubles.wait_for(as_wanted).await;
    }
}

impl Drop for Trouble {
    fn drop(&mut self) {
        self.valve.0.send_modify(self.end);
    }
}

/// A listening proxy. Dropped, it stops listening; what it carries breaks off.
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    _accepting: AbortOnDropHandle<()>,
}

impl Link {
    /// Listens on a free port for connections to `target`, wherever that is at the time, through both valves.
    ///
    /// # Errors
    /// When no port is to be had.
    pub async fn open(target: watch::Receiver<SocketAddr>, valves: [Arc<Valve>; 2]) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(async move {
            let mut carried = tokio::task::JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        // One that was gone before it was accepted is nobody's loss.
                        let Ok((near, _)) = accepted else { continue };
                        carried.spawn(carry(near, target.clone(), valves.clone()));
                    }
                    Some(_) = carried.join_next() => {}
                }
            }
        });
        Ok(Self { address, _accepting: AbortOnDropHandle::new(accepting) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Carries one connection until either side ends it or a valve is cut.
async fn carry(near: TcpStream, target: watch::Receiver<SocketAddr>, valves: [Arc<Valve>; 2]) {
    let losses = [0, 1].map(|index: usize| valves[index].0.borrow().losses);
    let passage = Passage { valves, losses };
    tokio::select! {
        // How a side ended is told to the other by the end alone.
        _ended = both_ways(near, target, &passage) => {}
        () = passage.valves[0].is_cut() => {}
        () = passage.valves[1].is_cut() => {}
        () = passage.is_noticed() => {}
    }
}

/// What one connection passes through, and how many losses it has survived by coming later.
struct Passage {
    valves: [Arc<Valve>; 2],
    losses: [u64; 2],
}

impl Passage {
    /// Waits until it is open, and then for as long as it delays.
    async fn flows(&self) {
        for (valve, losses) in self.valves.iter().zip(self.losses) {
            valve.until(|troubles| troubles.frozen == 0).await;
            if valve.0.borrow().losses != losses {
                std::future::pending::<()>().await;
            }
        }
        let delay = self.valves.iter().map(|valve| valve.0.borrow().delay).sum::<Duration>();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }

    /// Waits until whoever was connected is lost, and that is noticed.
    async fn is_noticed(&self) {
        tokio::select! {
            () = self.valves[0].until(|troubles| troubles.losses != self.losses[0]) => {}
            () = self.valves[1].until(|troubles| troubles.losses != self.losses[1]) => {}
        }
        tokio::time::sleep(UNNOTICED).await;
    }
}

async fn both_ways(near: TcpStream, target: watch::Receiver<SocketAddr>, passage: &Passage) -> io::Result<()> {
    passage.flows().await;
    let target = *target.borrow();
    let far = TcpStream::connect(target).await?;
    for end in [&near, &far] {
        end.set_nodelay(true)?;
    }
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    tokio::select! {
        ended = pump(near_in, far_out, passage) => ended,
        ended = pump(far_in, near_out, passage) => ended,
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, passage: &Passage) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut buffer).await;
        // An end is held back like anything else: a frozen network does not tell that the other side is gone.
        passage.flows().await;
        match length? {
            0 => return Ok(()),
            length => to.write_all(&buffer[..length]).await?,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, sync::Arc, time::Duration};

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
        sync::watch,
        time::timeout,
    };

    use super::{Link, Valve};

    /// A link to a server that says everything twice, and its valves.
    async fn linked() -> (Link, [Arc<Valve>; 2]) {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let target = watch::channel(server.local_addr().unwrap()).1;
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = server.accept().await.unwrap();
                tokio::spawn(async move {
                    let mut byte = [0];
                    while stream.read_exact(&mut byte).await.is_ok() {
                        stream.write_all(&[byte[0], byte[0]]).await.unwrap();
                    }
                });
            }
        });
        let valves = [Arc::new(Valve::default()), Arc::new(Valve::default())];
        (Link::open(target, valves.clone()).await.unwrap(), valves)
    }

    async fn echo(stream: &mut TcpStream) -> std::io::Result<[u8; 2]> {
        let mut twice = [0; 2];
        stream.write_all(b"a").await?;
        stream.read_exact(&mut twice).await?;
        Ok(twice)
    }

    #[tokio::test]
    async fn an_open_link_carries_both_ways() {
        let (link, _valves) = linked().await;
        let mut stream = TcpStream::connect(link.address()).await.unwrap();
        assert_eq!(echo(&mut stream).await.unwrap(), *b"aa");
    }

    #[tokio::test]
    async fn a_cut_breaks_what_is_open_and_refuses_what_is_new_until_it_is_over() {
        let (link, valves) = linked().await;
        for valve in &valves {
            let mut stream = TcpStream::connect(link.address()).await.unwrap();
            echo(&mut stream).await.unwrap();
            let cut = valve.cut();
            assert!(echo(&mut stream).await.is_err());
            let mut refused = TcpStream::connect(link.address()).await.unwrap();
            assert!(echo(&mut refused).await.is_err());
            drop(cut);
            let mut stream = TcpStream::connect(link.address()).await.unwrap();
            assert_eq!(echo(&mut stream).await.unwrap(), *b"aa");
        }
    }

    #[tokio::test]
    async fn a_frozen_link_carries_what_it_was_given_once_it_thaws() {
        let (link, valves) = linked().await;
        let mut stream = TcpStream::connect(link.address()).await.unwrap();
        echo(&mut stream).await.unwrap();
        let (one, other) = (valves[0].freeze(), valves[0].freeze());
        let mut twice = [0; 2];
        stream.write_all(b"b").await.unwrap();
        let held = timeout(Duration::from_millis(100), stream.read_exact(&mut twice)).await;
        assert!(held.is_err());
        drop(one);
        let held = timeout(Duration::from_millis(100), stream.read_exact(&mut twice)).await;
        assert!(held.is_err());
        drop(other);
        stream.read_exact(&mut twice).await.unwrap();
        assert_eq!(twice, *b"bb");
    }

    #[tokio::test]
    async fn of_a_loss_neither_side_hears_and_who_comes_later_is_served() {
        let (link, valves) = linked().await;
        let mut lost = TcpStream::connect(link.address()).await.unwrap();
        echo(&mut lost).await.unwrap();
        valves[1].lose();
        assert!(timeout(Duration::from_millis(100), echo(&mut lost)).await.is_err());
        let mut next = TcpStream::connect(link.address()).await.unwrap();
        assert_eq!(echo(&mut next).await.unwrap(), *b"aa");
    }
}
