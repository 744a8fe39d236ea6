package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/segmentio/kafka-go"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/stream"
	"genrec/pkg/testservers"
	"genrec/pkg/tlsfiles"
	"genrec/sessions"
)

const goodPassword, badPassword = "correct-horse", "hunter2"

// secured is a Kafka and a Redis that require TLS and a login.
type secured struct {
	t                *testing.T
	kafka            *testservers.Kafka
	redis            *testservers.Redis
	client, stranger testservers.TLS // certificates of two CAs, the first one the servers'
	folder           string          // of files with passwords
}

func startSecured(t *testing.T) *secured {
	t.Helper()
	if !embeddedtest.Real() {
		t.Skip("make test-real runs this")
	}
	s := &secured{t: t, folder: t.TempDir()}
	ours := s.authority()
	s.client, s.stranger = s.issue(ours, "genrec"), s.issue(s.authority(), "stranger")
	server := s.issue(ours, "server")

	var err error
	s.kafka, err = testservers.StartKafka(t.Context(), testservers.KafkaConfig{
		Jars: os.Getenv(embeddedtest.JarsVariable), Folder: t.TempDir(),
		Secure: &testservers.Secure{TLS: server, Users: map[string]string{
			"genrec": goodPassword, "reader": goodPassword, "groupless": goodPassword, "nobody": goodPassword,
			"import": goodPassword, "forget": goodPassword, "dead-replay": goodPassword,
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kafka.Close)
	s.allow()
	s.redis, err = testservers.StartRedis(t.Context(), testservers.RedisConfig{
		Folder: t.TempDir(), TLS: &server, Users: []testservers.ACLUser{
			{Name: "genrec", Password: goodPassword, Rules: documentedRules(t)},
			{Name: "reader", Password: goodPassword, Rules: "~genrec:* +@read +@scripting +@connection"},
			{Name: "other", Password: goodPassword, Rules: "~other:* +@all"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.redis.Close)
	return s
}

func (s *secured) authority() *testservers.Authority {
	s.t.Helper()
	a, err := testservers.NewAuthority(s.t.TempDir())
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

func (s *secured) issue(a *testservers.Authority, name string) testservers.TLS {
	s.t.Helper()
	issued, err := a.Issue(name)
	if err != nil {
		s.t.Fatal(err)
	}
	return issued
}

// documentedRules are the ACL rules of the Redis user in docs/SECURITY.md.
func documentedRules(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rules, found := strings.Cut(string(text), "ACL SETUSER genrec on >PASSWORD ")
	rules, _, ended := strings.Cut(rules, "\n")
	if !found || !ended {
		t.Fatal("docs/SECURITY.md has no ACL SETUSER genrec")
	}
	return rules
}

// userOf is the Kafka user with the permissions of a command.
func userOf(command string) string { return strings.ReplaceAll(command, " ", "-") }

// permission is a permission in Kafka.
type permission struct {
	kind      kafka.ResourceType
	name      string
	operation kafka.ACLOperationType
}

// documentedPermissions are the permissions of a command in the table of docs/SECURITY.md.
func documentedPermissions(t *testing.T, command string) (permissions []permission) {
	t.Helper()
	text, err := os.ReadFile("../../docs/SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `" + command + "` \\|(.*)\\|(.*)\\|(.*)\\|(.*)\\|$").FindStringSubmatch(string(text))
	if row == nil {
		t.Fatalf("docs/SECURITY.md gives %s no permissions", command)
	}
	operations := map[string]kafka.ACLOperationType{
		"Read": kafka.ACLOperationTypeRead, "Write": kafka.ACLOperationTypeWrite, "Describe": kafka.ACLOperationTypeDescribe, "DescribeConfigs": kafka.ACLOperationTypeDescribeConfigs,
	}
	topics := stream.DefaultTopics()
	for i, topic := range []string{topics.Interactions, topics.Refreshes, topics.DeadLetters} {
		permissions = append(permissions, permission{kafka.ResourceTypeTopic, topic, kafka.ACLOperationTypeDescribe})
		for name := range strings.FieldsFuncSeq(row[i+1], func(c rune) bool { return c == ' ' || c == ',' }) {
			permissions = append(permissions, permission{kafka.ResourceTypeTopic, topic, operations[name]})
		}
	}
	if name, group, found := strings.Cut(strings.TrimSpace(row[4]), " "); found {
		permissions = append(permissions, permission{kafka.ResourceTypeGroup, strings.Trim(group, "`"), operations[name]})
	}
	return permissions
}

// allow gives each Kafka user the permissions in docs/SECURITY.md, except those that its name
// rules out.
func (s *secured) allow() {
	s.t.Helper()
	cluster := stream.Cluster{Brokers: []string{s.kafka.Address()}}
	topics := stream.DefaultTopics()
	if err := stream.AwaitTopics(s.t.Context(), slog.New(slog.DiscardHandler), cluster, topics, 1); err != nil {
		s.t.Fatal(err)
	}
	var rules []kafka.ACLEntry
	allow := func(user string, kind kafka.ResourceType, name string, operation kafka.ACLOperationType) {
		pattern := kafka.PatternTypeLiteral
		if prefix, found := strings.CutSuffix(name, "*"); found {
			name, pattern = prefix, kafka.PatternTypePrefixed
		}
		rules = append(rules, kafka.ACLEntry{
			Principal: "User:" + user, Host: "*", PermissionType: kafka.ACLPermissionTypeAllow,
			ResourceType: kind, ResourceName: name, ResourcePatternType: pattern, Operation: operation,
		})
	}
	for _, command := range []string{"import", "forget", "dead replay"} {
		for _, r := range documentedPermissions(s.t, command) {
			allow(userOf(command), r.kind, r.name, r.operation)
		}
	}
	for _, user := range []string{"genrec", "reader", "groupless", "CN=genrec"} {
		for _, topic := range []string{topics.Interactions, topics.Refreshes} {
			allow(user, kafka.ResourceTypeTopic, topic, kafka.ACLOperationTypeRead)
		}
		if user != "groupless" {
			allow(user, kafka.ResourceTypeGroup, "genrec-ingest", kafka.ACLOperationTypeRead)
			allow(user, kafka.ResourceTypeGroup, "genrec-inference", kafka.ACLOperationTypeRead)
		}
		write := kafka.ACLOperationTypeWrite
		if user == "reader" {
			write = kafka.ACLOperationTypeDescribe
		}
		allow(user, kafka.ResourceTypeTopic, topics.Refreshes, write)
		allow(user, kafka.ResourceTypeTopic, topics.DeadLetters, write)
	}
	transport := cluster.NewTransport()
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(cluster.Brokers...), Transport: transport}
	answer, err := client.CreateACLs(s.t.Context(), &kafka.CreateACLsRequest{ACLs: rules})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, err := range answer.Errors {
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *secured) passwordFile(password string) string {
	s.t.Helper()
	path := filepath.Join(s.folder, password)
	if err := os.WriteFile(path, []byte(password+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// flags are the flags for both servers. Changes, NAME=VALUE, replace values; an empty value
// removes the flag.
func (s *secured) flags(changes ...string) []string {
	s.t.Helper()
	flags := map[string]string{
		"--kafka": s.kafka.LoginAddress(), "--kafka-ca": s.client.CA, "--kafka-sasl": "scram-sha-512",
		"--kafka-user": "genrec", "--kafka-password-file": s.passwordFile(goodPassword),
		"--redis": "rediss://" + s.redis.Address(), "--redis-ca": s.client.CA,
		"--redis-cert": s.client.Cert, "--redis-key": s.client.Key,
		"--redis-user": "genrec", "--redis-password-file": s.passwordFile(goodPassword),
	}
	for _, change := range changes {
		name, value, _ := strings.Cut(change, "=")
		flags[name] = value
	}
	var line []string
	for name, value := range flags {
		if value != "" {
			line = append(line, name, value)
		}
	}
	return line
}

// Each way to log in to the servers works, and each kind of wrong credential or missing
// permission is reported with a hint.
func TestRealCredentials(t *testing.T) {
	s := startSecured(t)
	withCertificate := []string{
		"--kafka=" + s.kafka.CertificateAddress(), "--kafka-cert=" + s.client.Cert, "--kafka-key=" + s.client.Key,
		"--kafka-sasl=", "--kafka-user=", "--kafka-password-file=",
	}
	for _, test := range []struct {
		name    string
		changes []string
		want    string // in the error; "": there is none
	}{
		{name: "SCRAM-SHA-512"},
		{name: "SCRAM-SHA-256", changes: []string{"--kafka-sasl=scram-sha-256"}},
		{name: "PLAIN", changes: []string{"--kafka-sasl=plain"}},
		{name: "certificate", changes: withCertificate},

		{"Kafka: wrong password", []string{"--kafka-password-file=" + s.passwordFile(badPassword)}, "check user and password, and that the broker has credentials of that user"},
		{"Kafka: wrong password, PLAIN", []string{"--kafka-sasl=plain", "--kafka-password-file=" + s.passwordFile(badPassword)}, "check user and password, and that the broker has credentials of that user"},
		{"Kafka: unknown user", []string{"--kafka-user=stranger"}, "check user and password, and that the broker has credentials of that user"},
		{"Kafka: wrong CA", []string{"--kafka-ca=" + s.stranger.CA}, "specify the CA that signed the server's certificate"},
		{"Kafka: wrong certificate", append(withCertificate, "--kafka-cert="+s.stranger.Cert, "--kafka-key="+s.stranger.Key), "present a client certificate"},
		{"Kafka: no certificate", append(withCertificate, "--kafka-cert=", "--kafka-key="), "present a client certificate"},
		{"Kafka: no permissions", []string{"--kafka-user=nobody"}, "grant this user Describe, Read and Write"},
		{"Kafka: no permission to write", []string{"--kafka-user=reader"}, `write to topic "refreshes"`},
		{"Kafka: no permission for the group", []string{"--kafka-user=groupless"}, "grant this user Read on the consumer group"},

		{"Redis: wrong password", []string{"--redis-password-file=" + s.passwordFile(badPassword)}, "check the user and the password"},
		{"Redis: no password", []string{"--redis-user=", "--redis-password-file="}, "check the user and the password"},
		{"Redis: wrong CA", []string{"--redis-ca=" + s.stranger.CA}, "specify the CA that signed the server's certificate"},
		{"Redis: wrong certificate", []string{"--redis-cert=" + s.stranger.Cert, "--redis-key=" + s.stranger.Key}, "present a client certificate"},
		{"Redis: no permission to write", []string{"--redis-user=reader"}, "grant this user read and write access to all keys"},
		{"Redis: no permission for the keys", []string{"--redis-user=other"}, "grant this user read and write access to all keys"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := runCommand(t, append([]string{"config", "check"}, s.flags(test.changes...)...)...)
			switch {
			case test.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("error %v, want one with %q", err, test.want)
			case err != nil && (strings.Contains(err.Error(), badPassword) || strings.Contains(err.Error(), goodPassword)):
				t.Errorf("the error shows a password: %v", err)
			}
		})
	}
}

// What doctor may not inspect is reported as unchecked, not as failed.
func TestRealDoctorWithDocumentedPermissions(t *testing.T) {
	s := startSecured(t)
	all := allFindings(t, append([]string{"doctor", "--json", "--models", t.TempDir()}, s.flags()...))
	for _, f := range all["topics"] {
		if !f.OK || !f.Unchecked || !strings.Contains(f.Hint, "DescribeConfigs") {
			t.Errorf("without DescribeConfigs: %+v", f)
		}
	}
	for _, subject := range []string{"Redis", "clock", "Kafka"} {
		for _, f := range all[subject] {
			if !f.OK || f.Unchecked {
				t.Errorf("with the documented permissions: %+v", f)
			}
		}
	}
}

// ingest works with only the permissions in docs/SECURITY.md.
func TestRealIngestWithDocumentedPermissions(t *testing.T) {
	s := startSecured(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- newApp().Run(ctx, append([]string{"genrec", "ingest"}, s.flags()...)) }()

	w := stream.NewWriter(stream.Cluster{Brokers: []string{s.kafka.Address()}}, stream.DefaultTopics().Interactions)
	defer w.Close()
	event := `{"event_id": "1", "user_id": "ann", "item_id": "apple", "timestamp": 1750000000000}`
	for _, value := range []string{event, "not JSON"} {
		if err := w.WriteMessages(t.Context(), kafka.Message{Key: []byte("ann"), Value: []byte(value)}); err != nil {
			t.Fatal(err)
		}
	}
	store := s.store()
	embeddedtest.Eventually(t, func() string {
		sequences, err := store.Sequences(t.Context(), []string{"ann"})
		if err != nil || len(sequences[0].Interactions) != 1 {
			return "the event did not arrive in Redis"
		}
		return ""
	})
	for _, topic := range []string{stream.DefaultTopics().Refreshes, stream.DefaultTopics().DeadLetters} {
		embeddedtest.Eventually(t, func() string {
			n := 0
			err := stream.Scan(t.Context(), stream.Cluster{Brokers: []string{s.kafka.Address()}}, topic, stream.Earliest, func(kafka.Message) error {
				n++
				return nil
			})
			if err != nil || n == 0 {
				return fmt.Sprintf("topic %s has %d messages (error %v), want some", topic, n, err)
			}
			return ""
		})
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("ingest ended with %v", err)
	}
}

// Each command works as a user with the permissions that docs/SECURITY.md gives it.
func TestRealCommandsWithDocumentedPermissions(t *testing.T) {
	s := startSecured(t)
	file := filepath.Join(s.folder, "events.csv")
	text := "user_id,item_id,timestamp\nann,apple,2026-03-01\nann,,2026-03-01\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	letters := stream.NewDeadLetterWriter(stream.Cluster{Brokers: []string{s.kafka.Address()}}, stream.DefaultTopics().DeadLetters)
	defer letters.Close()
	dead := stream.NewDeadLetter(kafka.Message{Topic: stream.DefaultTopics().Interactions, Key: []byte("bob"), Value: []byte(`{"type": "stare"}`)}, "unknown_type", "")
	if err := letters.WriteMessages(t.Context(), dead); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ command, args, want string }{
		{"import", file, "appended=1 known=0 refused=1 archived=0 refreshed=1"},
		{"dead replay", "--reason unknown_type", "1 replayed"},
		{"forget", "--user ann", "1 users forgotten"},
	} {
		flags := s.flags("--kafka-user=" + userOf(c.command))
		if strings.HasPrefix(c.command, "dead") {
			flags = s.flags("--kafka-user="+userOf(c.command), "--redis=", "--redis-ca=", "--redis-cert=", "--redis-key=", "--redis-user=", "--redis-password-file=")
		}
		line := append(strings.Fields(c.command), append(flags, strings.Fields(c.args)...)...)
		if out, err := runCommand(t, line...); err != nil || !strings.Contains(out, c.want) {
			t.Errorf("%s: %v\n%s\nwant %q", c.command, err, out, c.want)
		}
	}
}

func (s *secured) store() *sessions.Store {
	s.t.Helper()
	config, err := tlsfiles.Files{CA: s.client.CA, Cert: s.client.Cert, Key: s.client.Key}.Client()
	if err != nil {
		s.t.Fatal(err)
	}
	rdb := redis.NewClient(&redis.Options{Addr: s.redis.Address(), TLSConfig: config, Username: "genrec", Password: goodPassword})
	s.t.Cleanup(func() { rdb.Close() })
	store, err := sessions.Open(s.t.Context(), rdb, sessions.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	return store
}
