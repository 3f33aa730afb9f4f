//! A node of an L1 that speaks TLS: its certificate is checked against the authorities that the system trusts.

use crate::network::{Dev, SMALL};
use crate::person::{Person, word};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// What the node answers to everything.
const REFUSAL: &str = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"only who trusts me reads this"}}"#;

/// Answers each connection once.
async fn serve(listener: TcpListener, acceptor: TlsAcceptor) {
    while let Ok((socket, _)) = listener.accept().await {
        // Whoever does not trust the certificate hangs up.
        let Ok(mut stream) = acceptor.accept(socket).await else { continue };
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).await;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", REFUSAL.len());
        let _ = stream.write_all(format!("{head}{REFUSAL}").as_bytes()).await;
        let _ = stream.shutdown().await;
    }
}

/// A node with a certificate for `localhost`; returns its address and the certificate.
fn start() -> (SocketAddr, String) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).expect("a name");
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![cert.der().clone()], key);
    let acceptor = TlsAcceptor::from(Arc::new(config.expect("they belong together")));
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async { serve(TcpListener::from_std(listener).expect("a listener"), acceptor).await });
    });
    (address, cert.pem())
}

#[test]
fn an_l1_is_asked_by_tls_and_only_if_its_certificate_is_trusted() {
    let (address, certificate) = start();
    let url = format!("https://localhost:{}", address.port());
    let dev = Dev::start(&SMALL);
    let person = Person::new();
    let authority = person.write("authority.pem", certificate);
    let nobody = person.write("nobody.pem", "");
    let contract = format!("0x{}", "aa".repeat(20));
    let network = dev.file();
    let status = ["bridge", "status", "--network", word(&network), "--l1", &url, "--contract", &contract];

    let trusting = Person::new().with("SSL_CERT_FILE", authority.to_str().expect("text"));
    trusting.run(&status).refused(1, &["only who trusts me reads this"]);
    // Whatever the machine trusts, this person trusts a stranger.
    let stranger = person.write("stranger.pem", start().1);
    let other = Person::new().with("SSL_CERT_FILE", stranger.to_str().expect("text")).with("SSL_CERT_DIR", "/nowhere");
    other.run(&status).refused(1, &["invalid peer certificate"]);
    let alone = Person::new().with("SSL_CERT_FILE", nobody.to_str().expect("text")).with("SSL_CERT_DIR", "/nowhere");
    alone.run(&status).refused(1, &["No CA certificates were loaded from the system"]);
}
