// A peer on libdatachannel that speaks the lines of cmd/rtcbench, to be paired
// with ours: node peer.mjs echo|exchange|throughput|latency|connect -role offer|answer
// [-size N] [-warm S] [-dur S] [-bulk] [-conc N], with npm install run once.
import rtc from 'node-datachannel';
import readline from 'node:readline';

const [scenario = 'echo', ...rest] = process.argv.slice(2);
const o = { role: 'answer', size: 16384, warm: '1s', dur: '5s', high: 1 << 20, low: 512 << 10, bulk: false, conc: 1 };
for (let i = 0; i < rest.length; i++) {
  const k = rest[i].replace(/^-+/, '');
  if (k === 'bulk') o.bulk = true;
  else o[k] = typeof o[k] === 'number' ? +rest[++i] : rest[++i];
}
const ms = s => /ms$/.test(s) ? parseFloat(s) : parseFloat(s) * 1000;
const sleep = t => new Promise(r => setTimeout(r, t));
const print = x => process.stdout.write(JSON.stringify(x) + '\n');
const percentile = (v, p) => v[Math.min(v.length - 1, Math.floor(p * v.length))];

const peers = new Map();
const waits = new Map();

// make makes a connection whose description goes out with all candidates.
function make(id) {
  const pc = new rtc.PeerConnection('peer ' + id, { iceServers: [], bindAddress: '127.0.0.1', maxMessageSize: 1 << 20 });
  peers.set(id, pc);
  pc.onGatheringStateChange(s => {
    if (s !== 'complete') return;
    const d = pc.localDescription();
    print({ t: 'sdp', id, type: d.type, sdp: d.sdp });
  });
  return pc;
}
function drop(id) {
  const pc = peers.get(id);
  peers.delete(id);
  if (pc) pc.close();
}

// A channel's messages wait in inbox to be received.
function channel(dc) {
  const c = { dc, inbox: [], want: null };
  c.open = new Promise(r => dc.isOpen() ? r() : dc.onOpen(r));
  c.closed = new Promise(r => dc.onClosed(r));
  dc.onMessage(m => { if (c.want) { const w = c.want; c.want = null; w(m); } else c.inbox.push(m); });
  c.receive = () => c.inbox.length ? Promise.resolve(c.inbox.shift()) :
    Promise.race([new Promise(r => c.want = r), sleep(20000).then(() => { throw new Error('nothing came back'); })]);
  c.send = m => typeof m === 'string' ? dc.sendMessage(m) : dc.sendMessageBinary(m);
  return c;
}
async function dial(id, ...labels) {
  const pc = make(id);
  const answered = new Promise(r => waits.set(id, r));
  const cs = labels.map(l => channel(pc.createDataChannel(l)));
  const m = await answered;
  pc.setRemoteDescription(m.sdp, m.type);
  await Promise.race([Promise.all(cs.map(c => c.open)), sleep(20000).then(() => { throw new Error('not open'); })]);
  return { pc, cs };
}

async function roundTrip(c, m) {
  c.send(m);
  const b = await c.receive();
  if (typeof m === 'string' ? b !== m : typeof b === 'string' || Buffer.compare(Buffer.from(b), Buffer.from(m)))
    throw new Error(`${m.length} units came back as ${b.length}`);
}
async function exchange() {
  const { pc, cs: [c] } = await dial(0, 'exchange');
  const failed = [];
  let cases = 0;
  const attempt = async (name, f) => { cases++; try { await f(); } catch (e) { failed.push(name + ': ' + e.message); } };
  await attempt('text', () => roundTrip(c, 'text: äöü 日本語 😀'));
  await attempt('binary', () => roundTrip(c, Buffer.from([0, 1, 2, 254, 255])));
  await attempt('empty-text', () => roundTrip(c, ''));
  await attempt('empty-binary', () => roundTrip(c, Buffer.alloc(0)));
  await attempt('sizes', async () => {
    const most = Math.min(c.dc.maxMessageSize(), 1 << 20);
    for (const n of [1, 2, 100, 1100, 1200, 1300, 16384, 65535, 65536, 65537, 262144, most]) {
      if (n <= most) await roundTrip(c, Buffer.from(Uint8Array.from({ length: n }, (_, i) => i * 7 + n)));
    }
  });
  await attempt('in-order', async () => {
    const number = i => { const b = Buffer.alloc(4); b.writeUInt32BE(i); return b; };
    for (let i = 0; i < 200; i++) c.send(number(i));
    for (let i = 0; i < 200; i++) if (Buffer.compare(Buffer.from(await c.receive()), number(i))) throw new Error('message ' + i);
  });
  for (const [name, init] of Object.entries({ ordered: {}, unordered: { unordered: true }, maxretransmits: { unordered: true, maxRetransmits: 3 }, maxpacketlifetime: { maxPacketLifeTime: 2000 } })) {
    await attempt(name, async () => {
      const k = channel(pc.createDataChannel('kind', init));
      await k.open;
      for (let i = 0; i < 20; i++) await roundTrip(k, i % 2 ? 'message ' + i : Buffer.from('message ' + i));
      k.dc.close();
      await k.closed;
    });
  }
  await attempt('close', async () => { c.dc.close(); await c.closed; });
  return { ok: failed.length === 0, cases, failed };
}

// pump sends for ever, between the marks of the buffered amount.
function pump(c, size) {
  const b = Buffer.alloc(size);
  const go = () => { while (c.dc.isOpen() && c.dc.bufferedAmount() < o.high) c.dc.sendMessageBinary(b); };
  c.dc.setBufferedAmountLowThreshold(o.low);
  c.dc.onBufferedAmountLow(go);
  go();
}
async function throughput() {
  const { cs: [c] } = await dial(0, 'd0');
  pump(c, o.size);
  await sleep(ms(o.warm) + ms(o.dur));
  return {};
}
async function latency() {
  const { cs } = await dial(0, ...(o.bulk ? ['ping', 'bulk'] : ['ping']));
  if (o.bulk) pump(cs[1], 16384);
  const b = Buffer.alloc(o.size), us = [], begin = performance.now();
  for (let t = begin; t < begin + ms(o.warm) + ms(o.dur); t = performance.now()) {
    cs[0].send(b);
    await cs[0].receive();
    if (t > begin + ms(o.warm)) us.push((performance.now() - t) * 1000);
  }
  us.sort((x, y) => x - y);
  return { n: us.length, p50_us: percentile(us, 0.5), p99_us: percentile(us, 0.99), p999_us: percentile(us, 0.999) };
}
async function connect() {
  const took = [], begin = performance.now(), end = begin + ms(o.dur);
  let next = 100;
  await Promise.all(Array.from({ length: o.conc }, async () => {
    while (performance.now() < end) {
      const t = performance.now(), id = ++next;
      await dial(id, 'c');
      took.push(performance.now() - t);
      print({ t: 'close', id });
      drop(id);
    }
  }));
  took.sort((x, y) => x - y);
  return { n: took.length, per_s: took.length / (performance.now() - begin) * 1000, p50_ms: percentile(took, 0.5), p99_ms: percentile(took, 0.99) };
}

let bytes = 0, msgs = 0, measuring = false, reported = false, bye;
async function measure() {
  await sleep(ms(o.warm));
  const b = ms(o.warm) ? bytes : 0, n = msgs, t = performance.now(), u = process.cpuUsage();
  await sleep(ms(o.dur));
  const sec = (performance.now() - t) / 1000, cpu = process.cpuUsage(u);
  reported = true;
  print({ t: 'result', mbps: (bytes - b) * 8 / sec / 1e6, msgs: msgs - n, sec, cpu_s: (cpu.user + cpu.system) / 1e6, cpu_s_per_gb: (cpu.user + cpu.system) / 1e6 / ((bytes - b) / 1e9) });
}
function accept(m) {
  const pc = make(m.id);
  pc.onDataChannel(dc => {
    pc.channels = [...pc.channels || [], dc]; // one that is collected is closed
    const echo = dc.getLabel() === 'ping' || scenario === 'echo' || scenario === 'exchange';
    dc.onMessage(x => {
      if (echo) return typeof x === 'string' ? dc.sendMessage(x) : dc.sendMessageBinary(Buffer.from(x));
      bytes += x.length; msgs++;
      if (!measuring) { measuring = true; measure(); }
    });
  });
  pc.setRemoteDescription(m.sdp, m.type);
}
function quit(code) {
  for (const id of [...peers.keys()]) drop(id);
  setTimeout(() => process.exit(code), 100);
}

let code = 0;
const lines = readline.createInterface({ input: process.stdin });
lines.on('line', l => {
  let m;
  try { m = JSON.parse(l); } catch { return; }
  if (m.t === 'bye') { if (bye) bye(); if (o.role === 'answer') { if (!reported) print({ t: 'result', bytes }); quit(0); } return; }
  if (m.t === 'close') return drop(m.id);
  if (m.t !== 'sdp') return;
  const w = waits.get(m.id);
  if (w) { waits.delete(m.id); w(m); } else accept(m);
});
lines.on('close', () => quit(code));
if (o.role === 'offer') {
  const done = new Promise(r => bye = r);
  let r;
  try { r = await ({ exchange, throughput, latency, connect })[scenario](); } catch (e) { r = { ok: false, failed: [e.message] }; }
  print({ t: 'result', ...r });
  code = r.ok === false ? 1 : 0;
  await done;
  quit(code);
}
