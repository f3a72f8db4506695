//! Stands between clients of Kafka and the brokers of librdkafka, which are made for its own client: a version of ApiVersions that
//! they do not know is refused here as the protocol has it, and in answers brokers are named by our ports.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes of a request or an answer, at most.
const FRAME_BYTES_MAX: usize = 64 << 20;
const HOST: &str = "127.0.0.1";
const API_VERSIONS: i16 = 18;
/// The newest version of ApiVersions that the brokers know.
const NEWEST: i16 = 2;
const UNSUPPORTED_VERSION: i16 = 35;

/// How a broker is named in answers, and how it is to be named.
type Names = Arc<Vec<(Vec<u8>, Vec<u8>)>>;

pub struct Relay {
    ports: Vec<u16>,
    is_over: Arc<AtomicBool>,
}

impl Relay {
    /// Before the brokers at these addresses, `127.0.0.1:40001,127.0.0.1:40002`.
    pub fn new(brokers: &str) -> Self {
        let port = |broker: &str| broker.rsplit_once(':').unwrap().1.parse::<u16>().unwrap();
        let brokers: Vec<u16> = brokers.split(',').map(port).collect();
        let listeners: Vec<TcpListener> = brokers.iter().map(|_| TcpListener::bind((HOST, 0)).unwrap()).collect();
        let ports: Vec<u16> = listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        let names: Names =
            Arc::new(brokers.iter().zip(&ports).map(|(broker, ours)| (name(*broker), name(*ours))).collect());
        let is_over = Arc::new(AtomicBool::new(false));
        for (listener, broker) in listeners.into_iter().zip(brokers) {
            let (names, is_over) = (Arc::clone(&names), Arc::clone(&is_over));
            std::thread::spawn(move || {
                for client in listener.incoming().map_while(Result::ok) {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    if let Ok(broker) = TcpStream::connect((HOST, broker)) {
                        join(client, broker, &names);
                    }
                }
            });
        }
        Self { ports, is_over }
    }

    pub fn servers(&self) -> Vec<String> {
        self.ports.iter().map(|port| format!("{HOST}:{port}")).collect()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for port in &self.ports {
            let _woken = TcpStream::connect((HOST, *port));
        }
    }
}

/// A host and its port, as they follow each other in answers.
fn name(port: u16) -> Vec<u8> {
    [HOST.as_bytes(), &i32::from(port).to_be_bytes()].concat()
}

/// Passes requests and answers on until one of the two is gone.
fn join(client: TcpStream, broker: TcpStream, names: &Names) {
    let names = Arc::clone(names);
    client.set_nodelay(true).unwrap();
    broker.set_nodelay(true).unwrap();
    let (mut requests, mut refusals) = (client.try_clone().unwrap(), client.try_clone().unwrap());
    let (mut asked, mut answers, mut answered) = (broker.try_clone().unwrap(), broker, client);
    std::thread::spawn(move || {
        while let Some(request) = frame(&mut requests) {
            let sent = match refusal(&request) {
                Some(refusal) => refusals.write_all(&refusal),
                None => asked.write_all(&request),
            };
            if sent.is_err() {
                break;
            }
        }
        end(&requests, &asked);
    });
    std::thread::spawn(move || {
        while let Some(mut answer) = frame(&mut answers) {
            rename(&mut answer, &names);
            if answered.write_all(&answer).is_err() {
                break;
            }
        }
        end(&answered, &answers);
    });
}

fn end(client: &TcpStream, broker: &TcpStream) {
    let _gone = client.shutdown(Shutdown::Both);
    let _gone = broker.shutdown(Shutdown::Both);
}

/// The next request or answer with its length before it; none at the end, or where it is nothing of Kafka.
fn frame(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let bytes = usize::try_from(i32::from_be_bytes(length)).ok().filter(|bytes| *bytes <= FRAME_BYTES_MAX)?;
    let mut frame = vec![0; 4 + bytes];
    frame[..4].copy_from_slice(&length);
    stream.read_exact(&mut frame[4..]).ok()?;
    Some(frame)
}

/// The answer to a request for versions in a form that is too new: the one version of ApiVersions to ask in.
fn refusal(request: &[u8]) -> Option<Vec<u8>> {
    let number = |at: usize| Some(i16::from_be_bytes([*request.get(at)?, *request.get(at + 1)?]));
    if number(4)? != API_VERSIONS || number(6)? <= NEWEST {
        return None;
    }
    let mut answer = request.get(8..12)?.to_vec(); // the number of the request
    answer.extend(UNSUPPORTED_VERSION.to_be_bytes());
    answer.extend(1_i32.to_be_bytes());
    [API_VERSIONS, 0, NEWEST].iter().for_each(|number| answer.extend(number.to_be_bytes()));
    let length = i32::try_from(answer.len()).unwrap().to_be_bytes();
    Some([&length[..], &answer].concat())
}

fn rename(answer: &mut [u8], names: &Names) {
    for (broker, ours) in names.iter() {
        let mut at = 0;
        while let Some(found) = answer[at..].windows(broker.len()).position(|bytes| bytes == broker) {
            at += found;
            answer[at..at + ours.len()].copy_from_slice(ours);
            at += ours.len();
        }
    }
}
