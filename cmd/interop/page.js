// The page's half of the exchange. It does what the program tells it through
// POST /rpc, and reports what happens. Every peer connection is created in a
// separate frame. Removing the frame has the same effect as closing a page.
'use strict';
const params = new URLSearchParams(location.search);
const session = params.get('session') || '';
let outbox = [], sending = false, peers = {}, channels = {}, nextChannel = 1;

// report queues a report for the program. Only one request is sent at a time.
function report(x) {
  outbox.push(x);
  if (!sending) flush();
}
async function flush() {
  sending = true;
  while (outbox.length) {
    const batch = outbox;
    outbox = [];
    try {
      await fetch('/report?session=' + session, { method: 'POST', body: JSON.stringify(batch) });
    } catch (e) { break; }
  }
  sending = false;
}

// fnv returns the FNV-1a hash of bytes. h is the hash of the earlier bytes.
function fnv(bytes, h = 0x811c9dc5) {
  for (let i = 0; i < bytes.length; i++) h = Math.imul(h ^ bytes[i], 0x01000193);
  return h >>> 0;
}
// pattern returns n bytes that xorshift32 computes from the seed, as the program
// does.
function pattern(n, seed) {
  const b = new Uint8Array(n);
  let x = (seed | 0) || 1;
  for (let i = 0; i < n; i++) { x ^= x << 13; x ^= x >>> 17; x ^= x << 5; b[i] = x & 255; }
  return b;
}
// textOf converts a pattern into printable ASCII text of the same size.
function textOf(b) {
  const out = [];
  for (let i = 0; i < b.length; i += 8192) out.push(String.fromCharCode(...b.subarray(i, i + 8192).map(c => 32 + c % 95)));
  return out.join('');
}
const hex = b => [...b].map(x => x.toString(16).padStart(2, '0')).join('');
const fromHex = s => new Uint8Array((s.match(/../g) || []).map(x => parseInt(x, 16)));

function adopt(peer, d) {
  const ch = nextChannel++;
  const c = channels[ch] = { peer, d, quiet: false, count: 0, bytes: 0, hash: 0x811c9dc5 };
  d.binaryType = 'arraybuffer';
  d.onopen = () => report({ e: 'open', peer, ch });
  d.onclose = () => report({ e: 'close', peer, ch });
  d.onmessage = m => {
    const text = typeof m.data === 'string';
    const b = text ? new TextEncoder().encode(m.data) : new Uint8Array(m.data);
    if (c.echo) { d.send(m.data); return; }
    c.count++; c.bytes += b.length;
    if (c.plain) {
      if (c.bytes >= c.total) { c.plain = false; report({ e: 'received', peer, ch, size: c.bytes }); }
      return;
    }
    if (c.quiet) {
      c.hash = fnv(b, c.hash);
      if (c.bytes >= c.total) { c.total = Infinity; report({ e: 'received', peer, ch, size: c.bytes, hash: c.hash >>> 0 }); }
      return;
    }
    report({ e: 'message', peer, ch, text, size: b.length, hash: fnv(b), head: hex(b.subarray(0, 64)) });
  };
  return ch;
}
const describe = (ch, d) => ({ ch, label: d.label, protocol: d.protocol, ordered: d.ordered, id: d.id === null ? -1 : d.id, negotiated: d.negotiated,
  maxRetransmits: d.maxRetransmits === null ? -1 : d.maxRetransmits, maxPacketLifeTime: d.maxPacketLifeTime === null ? -1 : d.maxPacketLifeTime });
const gathered = pc => pc.iceGatheringState === 'complete' ? null : new Promise(r => pc.addEventListener('icegatheringstatechange', () => pc.iceGatheringState === 'complete' && r()));

// addMedia adds a transceiver. It sends a track if the browser has one.
function addMedia(p, kind) {
  let source = kind;
  try {
    if (kind === 'video') {
      const canvas = document.createElement('canvas');
      canvas.getContext('2d').fillRect(0, 0, 10, 10);
      source = canvas.captureStream(30).getVideoTracks()[0];
    } else source = new AudioContext().createMediaStreamDestination().stream.getAudioTracks()[0];
  } catch (e) { source = kind; }
  p.stopped ||= new Set();
  p.pc.addTransceiver(source, { direction: 'sendrecv' });
}

// pour sends data. total is the number of bytes, and size is the number of bytes
// in each packet.
async function pour(d, { size, total }) {
  const b = new Uint8Array(size);
  d.bufferedAmountLowThreshold = 256 << 10;
  for (let left = total; left > 0; left -= b.length) {
    if (d.bufferedAmount > 1 << 20) await new Promise(r => d.onbufferedamountlow = r);
    d.send(left >= b.length ? b : b.subarray(0, left));
  }
}

const ops = {
  async new(a) {
    const frame = document.createElement('iframe');
    frame.hidden = true;
    document.body.append(frame);
    const pc = new frame.contentWindow.RTCPeerConnection(a.config || {});
    const p = peers[a.peer] = { pc, frame };
    p.described = new Promise(r => p.remote = r); // candidates may come before the description
    pc.onicecandidate = e => { if (a.trickle) report({ e: 'candidate', peer: a.peer, media: e.candidate ? e.candidate.sdpMid || '' : '', index: e.candidate ? e.candidate.sdpMLineIndex || 0 : 0, name: e.candidate ? e.candidate.candidate : '' }); };
    pc.onconnectionstatechange = () => report({ e: 'state', peer: a.peer, state: pc.connectionState });
    if (a.media) for (const kind of ['audio', 'video']) addMedia(p, kind);
    pc.ondatachannel = e => { const ch = adopt(a.peer, e.channel); report({ e: 'channel', peer: a.peer, ...describe(ch, e.channel) }); };
  },
  async channel(a) {
    const o = { ordered: a.options.ordered !== false };
    for (const k of ['maxRetransmits', 'maxPacketLifeTime', 'protocol', 'negotiated', 'id']) if (k in a.options) o[k] = a.options[k];
    return adopt(a.peer, peers[a.peer].pc.createDataChannel(a.label, o));
  },
  async offer(a) {
    const pc = peers[a.peer].pc;
    await pc.setLocalDescription(await pc.createOffer(a.restart ? { iceRestart: true } : {}));
    if (a.complete) await gathered(pc);
    return pc.localDescription.sdp;
  },
  async answer(a) {
    const pc = peers[a.peer].pc;
    await pc.setRemoteDescription({ type: 'offer', sdp: a.sdp });
    peers[a.peer].remote();
    await pc.setLocalDescription(await pc.createAnswer());
    if (a.complete) await gathered(pc);
    return pc.localDescription.sdp;
  },
  async accept(a) {
    await peers[a.peer].pc.setRemoteDescription({ type: 'answer', sdp: a.sdp });
    peers[a.peer].remote();
  },
  // join connects to the host of an invite; see join.js.
  async join(a) { await join(peers[a.peer].pc, a.invite); },
  // media adds a transceiver, stops the newest or the first one, or checks that no
  // transceiver was rejected (which would have stopped it) and none carries media.
  async media(a) {
    const p = peers[a.peer], all = p.pc.getTransceivers();
    if (a.change.startsWith('stop')) {
      const live = all.filter(t => t.mid && !p.stopped.has(t)), t = a.change === 'stop' ? live.at(-1) : live[0];
      if (t) { p.stopped.add(t); t.stop(); }
      return;
    }
    if (a.change !== 'check') { addMedia(p, a.change); return; }
    for (const t of all) if (t.mid && !p.stopped.has(t) && t.currentDirection !== 'inactive') throw new Error('transceiver of mid ' + t.mid + ' is ' + t.currentDirection);
  },
  async candidate(a) {
    await peers[a.peer].described;
    await peers[a.peer].pc.addIceCandidate(a.name === '' ? { candidate: '', sdpMid: a.media } : { candidate: a.name, sdpMid: a.media, sdpMLineIndex: a.index });
  },
  async describe(a) { return describe(a.ch, channels[a.ch].d); },
  async maxSize(a) { const n = peers[a.peer].pc.sctp.maxMessageSize; return n === Infinity || !n ? -1 : n; },
  // send sends one packet. Its content is the given bytes, or a pattern.
  async send(a) {
    const b = a.hex !== undefined ? fromHex(a.hex) : pattern(a.size, a.seed);
    channels[a.ch].d.send(a.text ? (a.hex !== undefined ? new TextDecoder('utf-8', { ignoreBOM: true }).decode(b) : textOf(b)) : b);
  },
  // burst sends packets. count is their number, and size is their length in bytes.
  // The first four bytes of each packet contain its number. After each group of
  // packets, whose number is gap, there is a pause of a millisecond.
  async burst(a) {
    const d = channels[a.ch].d;
    for (let i = 0; i < a.count; i++) {
      const b = pattern(a.size, a.seed + i);
      new DataView(b.buffer).setUint32(0, i);
      d.send(b);
      if (a.gap && i % a.gap === a.gap - 1) await new Promise(r => setTimeout(r, 1));
    }
  },
  // quiet counts and hashes the packets of a channel. It reports only when the
  // number of bytes has reached total.
  async quiet(a) { Object.assign(channels[a.ch], { quiet: true, total: a.total, count: 0, bytes: 0, hash: 0x811c9dc5 }); },
  async echo(a) { channels[a.ch].echo = true; },
  // bulk sends data and returns its hash. total is the number of bytes, and size
  // is the number of bytes in each packet.
  async bulk(a) {
    const d = channels[a.ch].d, b = pattern(a.size, a.seed);
    let hash = 0x811c9dc5, left = a.total;
    d.bufferedAmountLowThreshold = 256 << 10;
    while (left > 0) {
      if (d.bufferedAmount > 1 << 20) await new Promise(r => d.onbufferedamountlow = r);
      const p = left >= b.length ? b : b.subarray(0, left);
      d.send(p); hash = fnv(p, hash); left -= p.length;
    }
    return hash >>> 0;
  },
  // count counts the bytes of a channel, and reports when their number has reached
  // total. pour sends as many bytes.
  async count(a) { Object.assign(channels[a.ch], { plain: true, total: a.total, bytes: 0 }); },
  async pour(a) { await pour(channels[a.ch].d, a); },
  // speed transfers data between two connections of the page. total is the number
  // of bytes. It returns the duration in milliseconds.
  async speed(a) {
    const x = new RTCPeerConnection(), y = new RTCPeerConnection();
    for (const [from, to] of [[x, y], [y, x]]) from.onicecandidate = e => to.addIceCandidate(e.candidate || undefined);
    const d = x.createDataChannel('speed');
    const arrived = new Promise(done => y.ondatachannel = e => {
      let bytes = 0;
      e.channel.binaryType = 'arraybuffer';
      e.channel.onmessage = m => { if ((bytes += m.data.byteLength) >= a.total) done(performance.now()); };
    });
    await x.setLocalDescription(await x.createOffer());
    await y.setRemoteDescription(x.localDescription);
    await y.setLocalDescription(await y.createAnswer());
    await x.setRemoteDescription(y.localDescription);
    if (d.readyState !== 'open') await new Promise(r => d.onopen = r);
    const begin = performance.now();
    await pour(d, a);
    const took = await arrived - begin;
    x.close(); y.close();
    return took;
  },
  async buffered(a) { return channels[a.ch].d.bufferedAmount; },
  async closeChannel(a) { channels[a.ch].d.close(); },
  async close(a) { const p = peers[a.peer]; if (!p) return; delete peers[a.peer]; p.pc.close(); p.frame.remove(); drop(a.peer); },
  async vanish(a) { const p = peers[a.peer]; delete peers[a.peer]; p.frame.remove(); drop(a.peer); },
};
function drop(peer) { for (const k of Object.keys(channels)) if (channels[k].peer === peer) delete channels[k]; }

(async () => {
  report({ e: 'hello', agent: navigator.userAgent });
  for (;;) {
    let calls;
    try { calls = await (await fetch('/rpc?session=' + session, { method: 'POST' })).json(); } catch (e) { break; }
    if (!calls) break;
    for (const c of calls) {
      Promise.resolve().then(() => ops[c.op](c.args)).then(
        result => report({ e: 'reply', n: c.n, result: result === undefined ? null : result }),
        err => report({ e: 'reply', n: c.n, error: String(err) }));
    }
  }
})();
