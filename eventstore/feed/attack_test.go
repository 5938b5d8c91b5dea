package feed

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
)

const servicePassword = "the service's"

// externalWorld is a world on a server of its own, which runs the text that
// operators are given; edit changes it.
func externalWorld(t testing.TB, edit func(string) string) *feedWorld {
	t.Helper()
	w := &feedWorld{t: t, own: newFeedUser(t, "billing"), other: newFeedUser(t, "search")}
	text, err := Accounts("SERVICE", []Consumer{w.own.Consumer, w.other.Consumer}, "jetstream: enabled",
		fmt.Sprintf("users: [{user: service, password: %q}]", servicePassword))
	if err != nil {
		t.Fatal(err)
	}
	var o server.Options
	if err := o.ProcessConfigString(edit(text)); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	x := startExternal(t, o)
	w.url = x.ClientURL()
	w.nc = connectService(t, w.url)
	w.populate()
	return w
}

func connectService(t testing.TB, address string) *nats.Conn {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("service", servicePassword)
	nc, err := eventstore.Connect(t.Context(), eventstore.Server{URL: u.String(), Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// permitAll takes the permissions of the feeds' users away, which leaves the
// border between accounts alone to hold.
func permitAll(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		switch line = strings.TrimSpace(line); {
		case strings.HasPrefix(line, "publish: "):
			lines[i] = "publish: [\">\"]"
		case strings.HasPrefix(line, "subscribe: "):
			lines[i] = "subscribe: [\">\"]"
		}
	}
	return strings.Join(lines, "\n")
}

func asIs(text string) string { return text }

var feedWorlds = map[string]func(t testing.TB) *feedWorld{
	"embedded": func(t testing.TB) *feedWorld { return embeddedWorld(t, t.TempDir()) },
	"external": func(t testing.TB) *feedWorld { return externalWorld(t, asIs) },
	"external-without-permissions": func(t testing.TB) *feedWorld {
		return externalWorld(t, permitAll)
	},
}

// forbidden lists subjects that no user of a consumer may reach: the whole
// JetStream API but MSG.NEXT and INFO of its own consumer, the streams' own
// subjects, and the system's.
func forbidden(own, other string) []string {
	subjects := []string{
		"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.API.STREAM.CREATE.MINE", "$JS.API.ACCOUNT.PURGE.$G",
		"$JS.API.META.LEADER.STEPDOWN", "$JS.API.SERVER.REMOVE", "$JS.API.STREAM.RESTORE.MINE", "$JS.API.STREAM.TEMPLATE.NAMES",
		"$SYS.REQ.SERVER.PING", "$SYS.REQ.ACCOUNT.$G.JSZ", "$SYS.REQ.SERVER.PING.CONNZ", "$SYS.REQ.ACCOUNT.$G.INFO", "$SYS.REQ.CLAIMS.UPDATE",
		"$KV.bucket.key", "$O.bucket.C.chunk", "$NRG.V.x", "$JSC.SYNC.x", "$JS.FC." + Stream + ".x", "$JS.SNAPSHOT.ACK.x",
		domain.SubjectPrefix + "x", domain.SubjectPrefix + secretStream("db-password").Subject(), accessSubject,
		subjectPrefix + "x", subjectPrefix + secretStream("db-password").Subject(),
		proofPrefix + "key", proofPrefix + "checkpoint.events", keyPrefix + "secret.00", keyPrefix + "secret.01",
		"$JS.ACK." + Stream + "." + other + ".1.1.1.1.0", "$JS.ACK." + eventstore.KeysStream + "." + own + ".1.1.1.1.0",
		"$JS.ACK." + eventstore.EventsStream + "." + own + ".1.1.1.1.0",
	}
	for _, stream := range []string{Stream, eventstore.EventsStream, eventstore.AccessStream, eventstore.ProofStream, eventstore.KeysStream} {
		for _, call := range []string{
			"STREAM.INFO.%s", "STREAM.MSG.GET.%s", "DIRECT.GET.%s", "DIRECT.GET.%s.chancery.>", "STREAM.PURGE.%s", "STREAM.DELETE.%s",
			"STREAM.UPDATE.%s", "STREAM.CREATE.%s", "STREAM.SNAPSHOT.%s", "STREAM.RESTORE.%s", "STREAM.MSG.DELETE.%s",
			"STREAM.PEER.REMOVE.%s", "STREAM.LEADER.STEPDOWN.%s", "CONSUMER.CREATE.%s", "CONSUMER.CREATE.%s.mine",
			"CONSUMER.CREATE.%s." + own, "CONSUMER.CREATE.%s." + own + ".chancery.feed.>", "CONSUMER.DURABLE.CREATE.%s." + own,
			"CONSUMER.CREATE.%s.mine.chancery.events.>", "CONSUMER.DURABLE.CREATE.%s.mine", "CONSUMER.NAMES.%s", "CONSUMER.LIST.%s",
			"CONSUMER.INFO.%s." + other, "CONSUMER.DELETE.%s." + own, "CONSUMER.DELETE.%s." + other, "CONSUMER.MSG.NEXT.%s." + other,
			"CONSUMER.PAUSE.%s." + own, "CONSUMER.RESET.%s." + own, "CONSUMER.UNPIN.%s." + own, "CONSUMER.LEADER.STEPDOWN.%s." + own,
		} {
			subjects = append(subjects, "$JS.API."+fmt.Sprintf(call, stream))
		}
		if stream != Stream {
			subjects = append(subjects, "$JS.API.CONSUMER.MSG.NEXT."+stream+"."+own, "$JS.API.CONSUMER.INFO."+stream+"."+own)
		}
	}
	return subjects
}

// bodies are requests that would mean something to one call or another.
var bodies = []string{
	"", `{"seq":1}`, `{"last_by_subj":"chancery.keys.secret.00"}`, `{"batch":10,"no_wait":true}`,
	`{"stream_name":"CHANCERY_FEED","config":{"durable_name":"mine","ack_policy":"none","deliver_subject":"_INBOX_billing.x"}}`,
	`{"name":"CHANCERY_FEED","subjects":["chancery.feed.>"],"max_msgs":1}`, `{"deliver_subject":"_INBOX_billing.x"}`,
}

// TestFeedReachesNothingElse: a feed's user obtains nothing by any call of the
// JetStream API or of the system, and changes nothing.
func TestFeedReachesNothingElse(t *testing.T) {
	for name, start := range feedWorlds {
		t.Run(name, func(t *testing.T) {
			w := start(t)
			o := w.own.dial(t, w.url)
			before := w.status()
			permitted := strings.HasSuffix(name, "without-permissions")
			inbox := o.InboxPrefix() + ".answer"
			answers, err := o.SubscribeSync(inbox)
			if err != nil {
				t.Fatal(err)
			}
			for _, subject := range forbidden(w.own.Name, w.other.Name) {
				for _, body := range bodies {
					if err := o.PublishRequest(subject, inbox, []byte(body)); err != nil {
						t.Fatal(err)
					}
				}
				if !permitted {
					o.waitRefused(len(bodies), subject)
				}
				o.flush()
			}
			for {
				m, err := answers.NextMsg(200 * time.Millisecond)
				if err != nil {
					break
				}
				if text := fmt.Sprintf("%q %s", m.Header, m.Data); !permitted || shows(text, w) {
					t.Errorf("answered: %s", text)
				}
			}
			if diff := cmp.Diff(before, w.status()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// shows says whether an answer tells anything of the service or of another
// feed. Users without permissions are told by the server that there is nobody
// to answer, that their account has no JetStream, and who else is in it.
func shows(text string, w *feedWorld) bool {
	for _, s := range []string{"CHANCERY_", "chancery.", "SERVICE", w.other.Name, w.other.User, "wrapped", "checkpoint\n", "did_create", "\"success\""} {
		if strings.Contains(text, s) {
			return true
		}
	}
	return false
}

// TestFeedSubscribesToItsInboxAlone: neither another feed's answers nor
// anything else can be listened to.
func TestFeedSubscribesToItsInboxAlone(t *testing.T) {
	w := embeddedWorld(t, t.TempDir())
	for _, subject := range []string{
		">", "*", "*.>", "chancery.>", "_INBOX.>", w.other.InboxPrefix() + ".>", "$JS.>", "$JS.API.>", "$SYS.>", "_R_.>", "$JS.EVENT.>", w.own.InboxPrefix(),
	} {
		o := w.own.dial(t, w.url)
		if _, err := o.SubscribeSync(subject); err != nil {
			t.Fatal(err)
		}
		o.waitRefused(1, "a subscription to "+subject)
	}
}

// replies are subjects to which an answer must never go, and those at the end
// to which one may: the server delivers to a reply subject only where the
// user's account has interest in it.
func replies(own feedUser, other string) []string {
	return []string{
		domain.SubjectPrefix + "x", domain.SubjectPrefix + secretStream("db-password").Subject(), accessSubject,
		proofPrefix + "key", proofPrefix + "checkpoint.events", proofPrefix + "checkpoint.access", proofPrefix + "frontier",
		keyPrefix + "secret.00", "chancery.>", "chancery.events.*",
		subjectPrefix + "x", subjectPrefix + secretStream("db-password").Subject(), "chancery.feed.*",
		"$JS.API.STREAM.DELETE." + Stream, "$JS.API.STREAM.PURGE." + eventstore.KeysStream, "$JS.API.CONSUMER.DELETE." + Stream + "." + other,
		"$JS.API.CONSUMER.MSG.NEXT." + Stream + "." + other, "$JS.API.CONSUMER.INFO." + Stream + "." + other,
		"$JS.ACK." + Stream + "." + other + ".1.1.1.1.0", "$JS.ACK." + Stream + ".*.1.1.1.1.0",
		"$JS.FC.x", "_R_.x", "_GR_.x", "$GR.x", "$SYS.REQ.SERVER.PING", "_INBOX.x", "_INBOX_" + other + ".x",
		own.NextSubject(), own.InfoSubject(), strings.TrimSuffix(own.AckSubject(), ">") + "1.1.1.1.0", "$JS.API.INFO", own.InboxPrefix() + ".x",
	}
}

// TestFeedRepliesMoveNothing: no reply subject and no header of a request or
// of an acknowledgement puts a message into any stream or acknowledges what
// another feed has not processed.
func TestFeedRepliesMoveNothing(t *testing.T) {
	for name, start := range feedWorlds {
		t.Run(name, func(t *testing.T) {
			w := start(t)
			victim := w.other.dial(t, w.url)
			victim.fetch(1, true)
			before := w.status()
			o := w.own.dial(t, w.url)
			if _, err := o.SubscribeSync(o.InboxPrefix() + ".x"); err != nil {
				t.Fatal(err)
			}
			for _, reply := range replies(w.own, w.other.Name) {
				w.provoke(o, reply)
			}
			// What was provoked did reach the durable: it has delivered, and took
			// acknowledgements, which the server works off in its own time.
			waitFor(t, "an acknowledgement", func() bool {
				list, err := w.feed.List(t.Context())
				return err == nil && list[0].Acknowledged > 0
			})
			after := w.status()
			if diff := cmp.Diff(before, after); diff != "" {
				t.Error(diff)
			}
			if err := w.log.Verify(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// provoke makes the server answer to a subject: with statuses, with events,
// and after acknowledgements.
func (w *feedWorld) provoke(o *outside, reply string) {
	w.t.Helper()
	bodies := []string{"", `{"batch":1,"no_wait":true}`, `{"batch":2,"expires":1000000}`, `{`, `{"batch":-1}`, `{"expires":99999999999999}`, `{"batch":1,"idle_heartbeat":1}`}
	for i, body := range append(bodies, bodies...) {
		subject := o.NextSubject()
		if i >= len(bodies) {
			subject = o.InfoSubject()
		}
		m := &nats.Msg{Subject: subject, Reply: reply, Data: []byte(body)}
		if err := o.PublishMsg(m); err != nil {
			w.t.Fatal(err)
		}
		m.Header = nats.Header{
			"Nats-Trace-Dest": {reply}, "Nats-Msg-Id": {"x"}, "Nats-Rollup": {"all"}, "Nats-Request-Info": {`{"acc":"$G","svc":"$G"}`},
			"Nats-Expected-Stream": {Stream}, "traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
		}
		if err := o.PublishMsg(m); err != nil {
			w.t.Fatal(err)
		}
	}
	ack := strings.TrimSuffix(o.AckSubject(), ">")
	for _, body := range []string{"", "+ACK", "+NXT", `+NXT {"batch":2,"no_wait":true}`, "+NXT 2", "-NAK", "+WPI", "+NXT {"} {
		for seq := range 4 {
			if err := o.PublishRequest(fmt.Sprintf("%s1.%d.%d.1700000000000000000.0", ack, seq, seq), reply, []byte(body)); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	o.flush()
}

// TestReplyInTheServiceAccount shows why the accounts are there: a user of the
// service's own account, with the very same permissions, writes into the log.
func TestReplyInTheServiceAccount(t *testing.T) {
	u := newFeedUser(t, "billing")
	w := &feedWorld{t: t, own: u, other: newFeedUser(t, "search")}
	text := fmt.Sprintf(`accounts {SERVICE {jetstream: enabled, users: [{user: service, password: %q}
		{nkey: %s, permissions: {publish: {allow: [%q, %q]}, subscribe: {allow: [%q]}}}]}}`, servicePassword, u.User, u.NextSubject(), u.InfoSubject(), u.InboxPrefix()+".>")
	var o server.Options
	if err := o.ProcessConfigString(text); err != nil {
		t.Fatal(err)
	}
	x := startExternal(t, o)
	w.nc = connectService(t, x.ClientURL())
	w.populate()
	out := u.dial(t, x.ClientURL())
	for _, subject := range []string{u.NextSubject(), u.InfoSubject()} {
		before := w.state()
		if err := out.PublishRequest(subject, domain.SubjectPrefix+"x", []byte(`{`)); err != nil {
			t.Fatal(err)
		}
		out.flush()
		waitFor(t, "a foreign message in the log: the accounts are not needed any more", func() bool { return w.state() != before })
	}
}
