// join connects pc to the host of an invite. pc has a data channel and no description.
// Its state, and that of the channel, say when it is connected, or that it has failed.
async function join(pc, invite) {
  invite = invite.trim();
  if (!invite.startsWith('rtc1.')) throw new Error('not an invite of this version');
  const b = Uint8Array.from(atob(invite.slice(5).replaceAll('-', '+').replaceAll('_', '/')), c => c.charCodeAt(0));
  const view = new DataView(b.buffer);
  const base64 = (from, to) => btoa(String.fromCharCode(...b.subarray(from, to)));
  const hex = (from, to) => Array.from(b.subarray(from, to), x => x.toString(16).padStart(2, '0'));
  const expires = view.getUint32(56);
  if (expires && Date.now() >= expires * 1000) throw new Error('the invite has expired');
  const candidates = [];
  for (let at = 60, n = 1; at < b.length; n++) {
    const tcp = b[at] & 16, size = b[at] & 2 ? 16 : 4, port = view.getUint16(at + 1 + size);
    const ip = size === 4 ? b.subarray(at + 1, at + 5).join('.') : hex(at + 1, at + 17).join('').match(/..../g).join(':');
    candidates.push(`a=candidate:${n} 1 ${tcp ? 'tcp' : 'udp'} ${(tcp ? 1671430144 : 2130706432) - n} ${ip} ${port} typ host${tcp ? ' tcptype passive' : ''}`);
    at += 3 + size;
  }
  await pc.setLocalDescription();
  const mid = pc.localDescription.sdp.match(/a=mid:(\S+)/)[1];
  await pc.setRemoteDescription({ type: 'answer', sdp: [
    'v=0', 'o=- 1 1 IN IP4 127.0.0.1', 's=-', 't=0 0', 'a=ice-lite', `a=group:BUNDLE ${mid}`,
    'm=application 9 UDP/DTLS/SCTP webrtc-datachannel', 'c=IN IP4 0.0.0.0', ...candidates, 'a=end-of-candidates',
    `a=ice-ufrag:${base64(0, 6)}`, `a=ice-pwd:${base64(6, 24)}`, `a=fingerprint:sha-256 ${hex(24, 56).join(':').toUpperCase()}`,
    'a=setup:passive', `a=mid:${mid}`, 'a=sctp-port:5000', 'a=max-message-size:262144', ''].join('\r\n') });
}
