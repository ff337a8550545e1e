//! The name in a TLS handshake is the URL's, and a certificate must be good.

#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc;

use futures::FutureExt as _;
use gristmill_fetch::{FetchConfig, FetchRequest, Fetcher, Lookup};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::Acceptor;
use rustls::{ServerConfig, crypto::aws_lc_rs};

/// A server whose certificate nobody vouches for, and the names it was asked for.
fn untrusted(name: &str) -> (u16, mpsc::Receiver<Option<String>>) {
    let certified = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let mut acceptor = Acceptor::default();
            let accepted = loop {
                acceptor.read_tls(&mut socket).unwrap();
                if let Some(accepted) = acceptor.accept().map_err(|(error, _)| error).unwrap() {
                    break accepted;
                }
            };
            tell.send(accepted.client_hello().server_name().map(str::to_owned)).unwrap();
            let mut connection = accepted.into_connection(Arc::clone(&config)).map_err(|(error, _)| error).unwrap();
            // The other side hangs up as soon as it has seen the certificate.
            let _ = connection.complete_io(&mut socket);
        }
    });
    (port, told)
}

#[tokio::test]
async fn the_handshake_names_the_host_and_an_unknown_certificate_is_refused() {
    let (port, names) = untrusted("mill.test");
    let lookup: Lookup = Arc::new(|_| async { Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]) }.boxed());
    let config = FetchConfig { allow: vec!["127.0.0.1/32".parse().unwrap()], ..FetchConfig::default() };
    let fetcher = Fetcher::with_lookup(config, lookup).unwrap();
    for (host, expected) in [("mill.test", Some("mill.test".to_owned())), ("127.0.0.1", None)] {
        let url = format!("https://{host}:{port}/?token=secret").parse().unwrap();
        let error = fetcher.get(&FetchRequest::new(url)).await.unwrap_err();
        assert_eq!(error.code(), "connect-failed", "{error:?}");
        assert!(!format!("{error} {error:?}").contains("secret"));
        assert_eq!(names.recv().unwrap(), expected);
    }
}
