package reports

// The parts of an OCSF record that are written, with the names of the schema.
// Those that the schema requires are never omitted; invariant: an absent
// member is absent, never empty.

type ocsfRecord struct {
	ActivityID   int            `json:"activity_id"`
	ActivityName string         `json:"activity_name"`
	CategoryUID  int            `json:"category_uid"`
	CategoryName string         `json:"category_name"`
	ClassUID     int            `json:"class_uid"`
	ClassName    string         `json:"class_name"`
	TypeUID      int            `json:"type_uid"`
	TypeID       int            `json:"type_id,omitempty"` // of the datastore
	Type         string         `json:"type,omitempty"`
	SeverityID   int            `json:"severity_id"`
	Severity     string         `json:"severity"`
	StatusID     int            `json:"status_id"`
	Status       string         `json:"status"`
	StatusCode   string         `json:"status_code,omitempty"`
	StatusDetail string         `json:"status_detail,omitempty"`
	Time         int64          `json:"time"` // milliseconds
	Count        uint64         `json:"count,omitempty"`
	StartTime    *int64         `json:"start_time,omitempty"`
	EndTime      *int64         `json:"end_time,omitempty"`
	Message      string         `json:"message"`
	Comment      string         `json:"comment,omitempty"`
	Metadata     ocsfMetadata   `json:"metadata"`
	Actor        *ocsfActor     `json:"actor"`
	Source       *ocsfEndpoint  `json:"src_endpoint"`
	HTTP         *ocsfHTTP      `json:"http_request,omitempty"`
	API          *ocsfAPI       `json:"api,omitempty"`
	Resources    []ocsfResource `json:"resources,omitempty"`
	Database     *ocsfDatabase  `json:"database,omitempty"`
	Table        *ocsfNamed     `json:"table,omitempty"`
	Entity       *ocsfEntity    `json:"entity,omitempty"`
	Unmapped     ocsfUnmapped   `json:"unmapped,omitzero"`
}

type ocsfMetadata struct {
	Version        string      `json:"version"`
	Product        ocsfProduct `json:"product"`
	UID            string      `json:"uid"`
	Sequence       uint64      `json:"sequence"`
	EventCode      string      `json:"event_code"`
	LogName        string      `json:"log_name"`
	LogProvider    string      `json:"log_provider"`
	LogVersion     string      `json:"log_version"`
	OriginalTime   string      `json:"original_time"`
	TenantUID      string      `json:"tenant_uid,omitempty"`
	CorrelationUID string      `json:"correlation_uid,omitempty"`
}

type ocsfProduct struct {
	Name       string `json:"name"`
	VendorName string `json:"vendor_name"`
}

type ocsfActor struct {
	User *ocsfUser `json:"user"`
}

type ocsfUser struct {
	UID         string           `json:"uid,omitempty"`
	Name        string           `json:"name,omitempty"`
	TypeID      int              `json:"type_id"`
	Type        string           `json:"type"`
	Org         *ocsfNamed       `json:"org,omitempty"`
	Credentials []ocsfCredential `json:"programmatic_credentials,omitempty"`
}

type ocsfCredential struct {
	UID  string `json:"uid"`
	Type string `json:"type"`
}

// ocsfNamed is an object of which only the name or the id is known:
// organization, group, table, service.
type ocsfNamed struct {
	UID  string `json:"uid,omitempty"`
	Name string `json:"name,omitempty"`
}

type ocsfEndpoint struct {
	IP          string `json:"ip,omitempty"`
	Name        string `json:"name,omitempty"`
	ServiceName string `json:"svc_name,omitempty"`
}

type ocsfHTTP struct {
	Method    string   `json:"http_method,omitempty"`
	URL       *ocsfURL `json:"url,omitempty"`
	UserAgent string   `json:"user_agent,omitempty"`
	UID       string   `json:"uid,omitempty"`
}

type ocsfURL struct {
	Path string `json:"path"`
}

type ocsfAPI struct {
	Operation string       `json:"operation"`
	Service   *ocsfNamed   `json:"service"`
	Request   *ocsfRequest `json:"request,omitempty"`
}

type ocsfRequest struct {
	UID string `json:"uid"`
}

type ocsfResource struct {
	UID  string `json:"uid"`
	Name string `json:"name,omitempty"`
	Type string `json:"type"`
}

type ocsfDatabase struct {
	UID    string `json:"uid,omitempty"`
	Name   string `json:"name"`
	TypeID int    `json:"type_id"`
	Type   string `json:"type"`
}

type ocsfEntity struct {
	UID    string     `json:"uid"`
	Name   string     `json:"name,omitempty"`
	TypeID int        `json:"type_id"`
	Type   string     `json:"type"`
	Org    *ocsfNamed `json:"org,omitempty"`
	Group  *ocsfNamed `json:"group,omitempty"`
	User   *ocsfUser  `json:"user,omitempty"`
	Data   *ocsfData  `json:"data,omitempty"`
}

// ocsfData is what an entity holds that the schema has no word for.
type ocsfData struct {
	Org     string   `json:"org,omitempty"`
	Scope   string   `json:"scope,omitempty"`
	Agent   string   `json:"agent,omitempty"`
	Role    string   `json:"role,omitempty"`
	Secret  string   `json:"secret,omitempty"`
	KeyIDs  []string `json:"key_ids,omitempty"`
	Changes []string `json:"changes,omitempty"`
}

// ocsfUnmapped is what a record says beside the schema.
type ocsfUnmapped struct {
	Ordinal   uint64   `json:"ordinal,omitempty"` // in the population of a sample
	Action    string   `json:"action,omitempty"`
	Version   uint64   `json:"version,omitempty"`
	Org       string   `json:"org,omitempty"` // the one acted on, if not the actor's
	ScopeName string   `json:"scope_name,omitempty"`
	Field     string   `json:"field,omitempty"`
	Fields    []string `json:"fields,omitempty"`
	Changes   []string `json:"changes,omitempty"`
	Detail    string   `json:"detail,omitempty"`
	Reason    string   `json:"reason,omitempty"`
	RunID     string   `json:"run_id,omitempty"`
	TraceID   string   `json:"trace_id,omitempty"`
}
