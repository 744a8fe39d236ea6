package main

import "time"

// testCase has the steps for a file. Each case has its own Redis and temporary folder.
type testCase struct {
	files map[string]string // contents of files to create in $TMP, by name
	steps []step
}

// step is a command with its expected result. The commands are
//
//	genrec ARGUMENT...         wait for genrec to exit
//	python3 ARGUMENT...        likewise
//	start genrec ARGUMENT...   run until the case ends; the step ends when $ADDRESS/readyz returns 200
//	get PATH [TOKEN]           GET from $ADDRESS; the output is the status and the body
//	produce                    append an event of user after-N to each partition N of the topic
//
// $FILE is the input, $TMP the folder of the case; $REDIS, $KAFKA and $ADDRESS are HOST:PORT.
type step struct {
	run      string
	exit     int           // exit code
	matches  []string      // regular expressions that the output must match
	excludes []string      // regular expressions that the output must not match
	until    time.Duration // how long to retry until the result is as expected
}

// load imports a file without Kafka, so that no dead letters are left for other cases.
const load = "genrec import --redis $REDIS --no-refresh --rejects $TMP/rejects "

var cases = map[string]testCase{
	"stray-quote.csv": {steps: []step{
		{
			run:     load + "$FILE",
			matches: []string{`rows=2000 .*appended=1998 .*(refused|rejected)=2\b`, `stray-quote\.csv:11: `, `stray-quote\.csv:1502: `},
		},
		{run: "genrec export --redis $REDIS $TMP/all.jsonl", matches: []string{`users=\d+ events=1998\b`}},
	}},
	"decimal-ids.parquet": {steps: []step{
		{run: load + "$FILE", matches: []string{`rows=4 .*appended=4 .*(refused|rejected)=0\b`}},
		{
			run:     "genrec export --redis $REDIS -",
			matches: []string{`"user_id": ?"541312140"`, `"user_id": ?"541278817"`, `"user_id": ?"541278818"`, `users=3 events=4\b`},
		},
	}},
	"uuid-ids.parquet": {steps: []step{
		{run: load + "$FILE", matches: []string{`rows=4 .*appended=4 .*(refused|rejected)=0\b`}},
		{
			run:     "genrec export --redis $REDIS -",
			matches: []string{`"user_id": ?"01000000-0000-0000-0000-000000000000"`, `"user_id": ?"01000000-0000-0000-0000-000000000003"`, `users=4 events=4\b`},
		},
	}},
	"spark-folder": {steps: []step{
		{run: load + "$FILE", matches: []string{`rows=4 .*appended=4 .*(refused|rejected)=0\b`}},
		{run: load + "$FILE/part-00000.parquet $FILE/part-00001.parquet", matches: []string{`rows=4 .*known=4 .*(refused|rejected)=0\b`}},
		{run: "genrec export --redis $REDIS -", matches: []string{`"user_id": ?"1"`, `"user_id": ?"2"`, `users=2 events=4\b`}},
	}},
	"users-from-windows.txt": {
		files: map[string]string{"events.csv": `user_id,item_id,timestamp
alice,i1,2026-01-01T00:00:00Z
bob,i1,2026-01-01T00:00:00Z
carol,i1,2026-01-01T00:00:00Z
dave,i1,2026-01-01T00:00:00Z
frank,i1,2026-01-01T00:00:00Z
`},
		steps: []step{
			{run: load + "$TMP/events.csv", matches: []string{`appended=5\b`}},
			{
				run:      "genrec forget --kafka $KAFKA --redis $REDIS --users-file $FILE",
				matches:  []string{`5 users forgotten, 4 of them had something`, `erin`},
				excludes: []string{`(alice|bob|carol|dave)`},
			},
			{run: "genrec export --redis $REDIS -", matches: []string{`"user_id": ?"frank"`, `users=1 events=1\b`}, excludes: []string{`(alice|bob|carol|dave)`}},
		},
	},
	"tokens-with-mark.txt": {steps: []step{
		{run: "start genrec serve --redis $REDIS --listen $ADDRESS --tokens-file $FILE"},
		{run: "get /v1/users/ann/recommendations 0123456789abcdef0123", matches: []string{`^200 `}},
		{run: "get /v1/users/ann/recommendations fedcba98765432100123", matches: []string{`^200 `}},
		{run: "get /v1/users/ann/recommendations 0123456789abcdef", matches: []string{`^401 `}},
		{run: "get /v1/users/ann/recommendations", matches: []string{`^401 `}},
	}},
	"asin-ids.csv": {steps: []step{
		{run: load + "$FILE", matches: []string{`rows=360 .*appended=360\b`}},
		{
			run: "genrec retrain --redis $REDIS --models $TMP/models --recipe paper --device cpu" +
				" --set pretrain_epochs=1 --set finetune_epochs=2 --set batch_size=64",
			matches:  []string{`version v000001: 60 users, 40 items, 360 interactions`},
			excludes: []string{`(?m)^genrec: `},
		},
		{run: "genrec models list --models $TMP/models", matches: []string{`v000001`}},
	}},
	"blank-behind-times.csv": {steps: []step{
		{run: load + "$FILE", matches: []string{`rows=4 .*appended=4 .*(refused|rejected)=0\b`}},
		{run: "genrec export --redis $REDIS -", matches: []string{`2022-06-24T21:20:11|1656105611000`}},
	}},
	"otto-shape.jsonl": {steps: []step{
		{run: "genrec import --dry-run $FILE", exit: 1, matches: []string{`rows=2 valid=0`, `user_id`, `--column`}, excludes: []string{`event_id`}},
		{
			run:     load + "--column user_id=session --column item_id=events.aid --column timestamp=events.ts $FILE",
			matches: []string{`appended=4 .*(refused|rejected)=0\b`},
		},
		{run: "genrec export --redis $REDIS -", matches: []string{`"user_id": ?"42"`, `"user_id": ?"43"`, `users=2 events=4\b`}},
	}},
	"yoochoose-clicks.dat": {steps: []step{
		{run: "genrec import --dry-run $FILE", exit: 1, matches: []string{`(?i)header`}, excludes: []string{`valid=[34]\b`}},
		{
			run:     load + "--format events --no-header --column user_id=1 --column timestamp=2 --column item_id=3 $FILE",
			matches: []string{`rows=4 .*appended=4 .*(refused|rejected)=0\b`},
		},
		{run: "genrec export --redis $REDIS -", matches: []string{`"item_id": ?"900001"`, `users=2 events=4\b`}},
	}},
	"transactions.py": {steps: []step{
		{run: "start genrec ingest --kafka $KAFKA --redis $REDIS --partitions 4 --metrics $ADDRESS"},
		{run: "python3 $FILE $KAFKA"},
		{run: "produce"},
		{ // All earlier records of a partition have been ingested when this event has.
			run: "genrec export --redis $REDIS -", until: 30 * time.Second,
			matches:  []string{`"after-0"`, `"after-1"`, `"after-2"`, `"after-3"`, `"tx_commit"`, `users=5 events=5\b`},
			excludes: []string{`tx_abort`, `tx_open`},
		},
		{run: "genrec dead list --kafka $KAFKA", matches: []string{`^no dead letters\s*$`}},
	}},
}
