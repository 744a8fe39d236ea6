package testservers

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
)

// KafkaConfig configures a Kafka broker.
type KafkaConfig struct {
	Jars   string  // folder that deploy/kafka/setup.sh prints
	Folder string  // data and configuration
	Secure *Secure // nil: only the plaintext listener
	// Advertised is the plaintext listener's advertised address, such as that of a proxy, HOST:PORT.
	// Empty means the address of the broker.
	Advertised string
	// Optimized selects the JIT compiler and garbage collector of production. Without it, Kafka
	// starts sooner and needs about twice the CPU time per request.
	Optimized bool
}

// Secure adds TLS listeners, whose users have only the permissions granted by ACLs. Clients of the
// plaintext listener are superusers.
type Secure struct {
	TLS   TLS               // certificate of the broker and CA of client certificates
	Users map[string]string // passwords by name, for PLAIN and SCRAM
}

// Kafka is a single broker in KRaft combined mode. It keeps its data when it is restarted.
type Kafka struct {
	cfg                                 KafkaConfig
	plain, controller, login, encrypted string // addresses
	server                              *server
}

// StartKafka starts a Kafka broker. The caller must Close it.
func StartKafka(ctx context.Context, cfg KafkaConfig) (*Kafka, error) {
	k := &Kafka{cfg: cfg}
	for _, a := range []*string{&k.plain, &k.controller, &k.login, &k.encrypted} {
		var err error
		if *a, err = FreeAddress(); err != nil {
			return nil, err
		}
	}
	if err := os.WriteFile(k.configFile(), []byte(k.properties()), 0o600); err != nil {
		return nil, fmt.Errorf("configure Kafka: %w", err)
	}
	if err := k.format(ctx); err != nil {
		return nil, err
	}
	if err := k.Start(ctx); err != nil {
		return nil, err
	}
	return k, nil
}

// Address returns the plaintext listener, HOST:PORT.
func (k *Kafka) Address() string { return k.plain }

// LoginAddress returns the SASL_SSL listener, for users with a password, HOST:PORT.
func (k *Kafka) LoginAddress() string { return k.login }

// CertificateAddress returns the SSL listener, for clients with a certificate, HOST:PORT.
func (k *Kafka) CertificateAddress() string { return k.encrypted }

func (k *Kafka) configFile() string { return filepath.Join(k.cfg.Folder, "server.properties") }

func (k *Kafka) properties() string {
	listeners, advertised := "PLAINTEXT://"+k.plain, "PLAINTEXT://"+cmp.Or(k.cfg.Advertised, k.plain)
	lines := []string{
		"process.roles=broker,controller", "node.id=1",
		"controller.quorum.voters=1@" + k.controller, "controller.listener.names=CONTROLLER",
		"inter.broker.listener.name=PLAINTEXT",
		"log.dirs=" + filepath.Join(k.cfg.Folder, "data"),
		"auto.create.topics.enable=false", "default.replication.factor=1",
		"offsets.topic.replication.factor=1", "offsets.topic.num.partitions=1",
		"share.coordinator.state.topic.replication.factor=1",
		"transaction.state.log.replication.factor=1", "transaction.state.log.min.isr=1",
		"group.initial.rebalance.delay.ms=0",
	}
	if s := k.cfg.Secure; s != nil {
		secure := ",LOGIN://" + k.login + ",CERTIFICATE://" + k.encrypted
		listeners, advertised = listeners+secure, advertised+secure
		var users strings.Builder
		for name, password := range s.Users {
			fmt.Fprintf(&users, " user_%s=%q", name, password)
		}
		lines = append(lines,
			"authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
			"super.users=User:ANONYMOUS",
			"ssl.keystore.type=PEM", "ssl.keystore.location="+filepath.Join(k.cfg.Folder, "keystore.pem"),
			"ssl.truststore.type=PEM", "ssl.truststore.location="+s.TLS.CA,
			"listener.name.certificate.ssl.client.auth=required",
			"sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
			"listener.name.login.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required"+users.String()+";",
		)
		for _, scram := range []string{"256", "512"} {
			lines = append(lines, "listener.name.login.scram-sha-"+scram+".sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;")
		}
	}
	lines = append(lines,
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,LOGIN:SASL_SSL,CERTIFICATE:SSL",
		"advertised.listeners="+advertised, "listeners="+listeners+",CONTROLLER://"+k.controller)
	return strings.Join(lines, "\n") + "\n"
}

// coresForJIT is the number of cores from which on the optimizing JIT compiler is enabled: it uses up
// to one core for minutes, which would slow down a broker on a smaller machine.
const coresForJIT = 8

// java returns a command that runs a Kafka class.
func (k *Kafka) java(class string, args ...string) []string {
	const quickJIT = "-XX:TieredStopAtLevel=1"
	command := []string{"java", "-Xmx320m", "-XX:+UseSerialGC", quickJIT} // starts quickly
	if k.cfg.Optimized {
		command = []string{"java", "-Xmx1g", "-XX:+UseG1GC"}
		if runtime.NumCPU() < coresForJIT {
			command = append(command, quickJIT)
		}
	}
	return append(append(command, "-Xshare:auto",
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", filepath.Join(k.cfg.Jars, "*"), class), args...)
}

// format formats the data folder and creates the keystore and the SCRAM users.
func (k *Kafka) format(ctx context.Context) error {
	args := []string{"format", "--cluster-id", "Z2VucmVjLXRlc3RzLTAwMA", "--config", k.configFile()}
	if s := k.cfg.Secure; s != nil {
		if err := k.writeKeystore(s.TLS); err != nil {
			return fmt.Errorf("write the keystore of Kafka: %w", err)
		}
		for name, password := range s.Users {
			for _, mechanism := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
				args = append(args, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", mechanism, name, password))
			}
		}
	}
	if err := requireProgram("java"); err != nil {
		return err
	}
	command := k.java("kafka.tools.StorageTool", args...)
	if output, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("format the data folder of Kafka with the jars in %s: %w\n%s", k.cfg.Jars, err, output)
	}
	return nil
}

func (k *Kafka) writeKeystore(t TLS) error {
	key, err := os.ReadFile(t.Key)
	if err != nil {
		return err
	}
	cert, err := os.ReadFile(t.Cert)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(k.cfg.Folder, "keystore.pem"), append(key, cert...), 0o600)
}

// Start restarts the server after Kill, with the same addresses and data.
func (k *Kafka) Start(ctx context.Context) (err error) {
	log := filepath.Join(k.cfg.Folder, "kafka.log")
	if k.server, err = startServer(log, k.java("kafka.Kafka", k.configFile())...); err != nil {
		return err
	}
	return k.server.awaitReady(ctx, "Kafka", k.ready)
}

// ready fails until the broker is registered with the controller, which happens after it listens.
func (k *Kafka) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := kafka.DialContext(ctx, "tcp", k.plain)
	if err != nil {
		return err
	}
	defer conn.Close()
	brokers, err := conn.Brokers()
	if err == nil && len(brokers) == 0 {
		err = fmt.Errorf("no broker at %s yet", k.plain)
	}
	return err
}

// Wipe deletes all data, as replacing the disk would. Call it between Kill and Start.
func (k *Kafka) Wipe(ctx context.Context) error {
	if err := os.RemoveAll(filepath.Join(k.cfg.Folder, "data")); err != nil {
		return fmt.Errorf("wipe Kafka: %w", err)
	}
	return k.format(ctx)
}

// Process returns the process ID.
func (k *Kafka) Process() int { return k.server.ID() }

// Kill sends SIGKILL, as a crash would.
func (k *Kafka) Kill() { k.server.Kill() }

// Close ends the server.
func (k *Kafka) Close() { k.server.Kill() }
