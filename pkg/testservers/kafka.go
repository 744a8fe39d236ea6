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

// KafkaConfig configures a Kafka.
type KafkaConfig struct {
	Jars   string  // folder that deploy/kafka/setup.sh prints
	Folder string  // where it keeps its data
	Secure *Secure // nil: only the address without TLS
	// Advertised is where clients without TLS are told to connect, such as a proxy's
	// HOST:PORT; empty: to the Kafka itself.
	Advertised string
	// Optimized lets the JVM compile and collect as in production. Without it, Kafka starts
	// sooner and takes about twice the processor time for a request.
	Optimized bool
}

// Secure adds addresses with TLS to a Kafka, and lets its users do only what they are
// allowed to do. The address without TLS keeps all rights.
type Secure struct {
	TLS   TLS
	Users map[string]string // passwords by name, for PLAIN and SCRAM
}

// Kafka is a broker that is its own controller, and keeps its data over restarts.
type Kafka struct {
	cfg                                 KafkaConfig
	plain, controller, login, encrypted string // addresses
	process                             *process
}

// StartKafka starts a Kafka. It runs until Close.
func StartKafka(ctx context.Context, cfg KafkaConfig) (*Kafka, error) {
	k := &Kafka{cfg: cfg}
	for _, a := range []*string{&k.plain, &k.controller, &k.login, &k.encrypted} {
		var err error
		if *a, err = address(); err != nil {
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

// Address returns HOST:PORT without TLS.
func (k *Kafka) Address() string { return k.plain }

// LoginAddress returns HOST:PORT with TLS, for users with a password.
func (k *Kafka) LoginAddress() string { return k.login }

// CertificateAddress returns HOST:PORT with TLS, for clients with a certificate.
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

// coresForJIT is from when on the optimizing JIT compiler does not slow down what it compiles: for
// minutes it takes up to a core.
const coresForJIT = 8

// java returns a command that runs a class of Kafka.
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

// format prepares the folder, with the keystore and the users.
func (k *Kafka) format(ctx context.Context) error {
	args := []string{"format", "--cluster-id", "Z2VucmVjLXRlc3RzLTAwMA", "--config", k.configFile()}
	if s := k.cfg.Secure; s != nil {
		if err := k.writeKeystore(s.TLS); err != nil {
			return fmt.Errorf("prepare Kafka's certificate: %w", err)
		}
		for name, password := range s.Users {
			for _, mechanism := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
				args = append(args, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", mechanism, name, password))
			}
		}
	}
	if err := need("java"); err != nil {
		return err
	}
	command := k.java("kafka.tools.StorageTool", args...)
	if output, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("prepare Kafka's folder with the jars in %s: %w\n%s", k.cfg.Jars, err, output)
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

// Start starts it again after Kill, at the same addresses and with what it held.
func (k *Kafka) Start(ctx context.Context) (err error) {
	log := filepath.Join(k.cfg.Folder, "kafka.log")
	if k.process, err = startProcess(log, k.java("kafka.Kafka", k.configFile())...); err != nil {
		return err
	}
	return k.process.await(ctx, "Kafka", k.answers)
}

// answers tells whether the broker is registered, which is later than it listens.
func (k *Kafka) answers(ctx context.Context) error {
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

// Wipe takes everything from it, after Kill and before Start, as a disk that was replaced does.
func (k *Kafka) Wipe(ctx context.Context) error {
	if err := os.RemoveAll(filepath.Join(k.cfg.Folder, "data")); err != nil {
		return fmt.Errorf("wipe Kafka: %w", err)
	}
	return k.format(ctx)
}

// Process returns its process id.
func (k *Kafka) Process() int { return k.process.cmd.Process.Pid }

// Kill ends it as a crash does.
func (k *Kafka) Kill() { k.process.kill() }

// Close ends it.
func (k *Kafka) Close() { k.process.kill() }
