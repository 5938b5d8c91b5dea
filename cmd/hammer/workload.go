package main

import (
	"fmt"
	"strings"
)

// workload is one kind of request.
type workload struct {
	name, about string
	status      int // that an answer must have
	least       int // bytes of its body
	// requests gives what one connection sends.
	requests func(w *world, worker int) next
}

func workloads() []workload {
	return []workload{
		{name: "create", about: "a new secret with 2 plaintext fields", status: 201, least: 300, requests: creates},
		{name: "update", about: "a new value for a field of any secret", status: 200, least: 100, requests: updates},
		{name: "read", about: "any secret with its 2 values", status: 200, least: 300, requests: reads},
		{name: "mint", about: "a data key for a field of any secret", status: 200, least: 200, requests: mints},
		{name: "decrypt", about: "the data key of an encrypted field", status: 200, least: 50, requests: decrypts},
		{name: "list", about: "a page of 100 secrets from anywhere", status: 200, least: 1000, requests: lists},
		{name: "history", about: "a page of 50 entries of one secret", status: 200, least: 1000, requests: histories},
		{name: "mixed", about: "90% read, 10% update", status: 200, least: 100, requests: mixed},
	}
}

func names() []string {
	var all []string
	for _, w := range workloads() {
		all = append(all, w.name)
	}
	return all
}

func find(name string) (workload, bool) {
	for _, w := range workloads() {
		if w.name == name {
			return w, true
		}
	}
	return workload{}, false
}

// Ids of what is made beforehand.
const (
	plainID   = "s" + subjectMark
	sealedID  = "e%d"
	newID     = "n" + freshMark
	historyID = "history"
)

// draws is a sequence of numbers that look random: xorshift64 (Marsaglia,
// 2003). It is not shared.
type draws uint64

func newDraws(worker int) draws { return draws(worker+1) * 0x9E3779B97F4A7C15 } //nolint:gosec // not negative.

func (d *draws) below(n int) uint64 {
	x := *d
	x ^= x << 13
	x ^= x >> 7
	x ^= x << 17
	*d = x
	return uint64(x) % uint64(n) //nolint:gosec // positive.
}

func (w *world) key(name string) string {
	if !w.o.idempotency {
		return ""
	}
	return "hammer-" + name + "-" + freshMark
}

// value is text of the wanted length in which a number makes it new.
func (w *world) value() string {
	return freshMark + strings.Repeat("x", w.o.value-len(freshMark))
}

// template makes a template of a request with the key of a connection's agent.
func (w *world) template(worker int, method, path, idempotency, body string) template {
	return newTemplate(w.caller(worker).request(method, path, idempotency, body))
}

func creates(w *world, worker int) next {
	t := w.template(worker, "PUT", w.secret(newID), w.key("create"), w.createBody())
	return func() []byte { return t.fill(0, w.fresh.Add(1)) }
}

func (w *world) createBody() string {
	return fmt.Sprintf(`{"secretName":"A secret","category":"load","tags":["hammer","prod"],"fields":[`+
		`{"key":"user","sensitivity":"plaintext","value":"someone@example.com"},`+
		`{"key":"password","sensitivity":"plaintext","value":"%s"}]}`, w.value())
}

func updates(w *world, worker int) next {
	draw := newDraws(worker)
	t := w.template(worker, "PUT", w.secret(plainID)+"/fields/password", w.key("update"),
		`{"sensitivity":"plaintext","value":"`+w.value()+`"}`)
	return func() []byte { return t.fill(draw.below(w.o.secrets), w.fresh.Add(1)) }
}

func reads(w *world, worker int) next {
	draw := newDraws(worker)
	t := w.template(worker, "GET", w.secret(plainID), "", "")
	return func() []byte { return t.fill(draw.below(w.o.secrets), 0) }
}

func mints(w *world, worker int) next {
	draw := newDraws(worker)
	t := w.template(worker, "POST", "/agent/secrets/generate-data-key", "", w.dataKeyBody(plainID, ""))
	return func() []byte { return t.fill(draw.below(w.o.secrets), 0) }
}

func (w *world) dataKeyBody(id, ciphertext string) string {
	body := `{"scope":"project","scopeId":"` + w.project + `","secretId":"` + id + `","fieldKey":"` + string(encryptedField) + `"`
	if ciphertext != "" {
		body += `,"dataKeyCiphertext":"` + ciphertext + `"`
	}
	return body + "}"
}

func decrypts(w *world, worker int) next {
	draw := newDraws(worker)
	c := w.caller(worker)
	all := make([][]byte, len(w.dataKeys))
	for i, ciphertext := range w.dataKeys {
		all[i] = c.request("POST", "/agent/secrets/decrypt-data-key", "", w.dataKeyBody(fmt.Sprintf(sealedID, i), ciphertext))
	}
	return func() []byte { return all[draw.below(len(all))] }
}

func lists(w *world, worker int) next {
	draw := newDraws(worker)
	c := w.caller(worker)
	all := make([][]byte, len(w.pages))
	for i, cursor := range w.pages {
		all[i] = c.request("GET", w.list(cursor), "", "")
	}
	return func() []byte { return all[draw.below(len(all))] }
}

func histories(w *world, worker int) next {
	request := w.caller(worker).request("GET", w.secret(historyID)+"/history?limit=50", "", "")
	return func() []byte { return request }
}

func mixed(w *world, worker int) next {
	draw := newDraws(worker)
	read, update := reads(w, worker), updates(w, worker)
	return func() []byte {
		if draw.below(10) == 0 {
			return update()
		}
		return read()
	}
}
