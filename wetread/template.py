"""The commented settings file that ``wetread config init`` writes; it states the defaults."""

TEMPLATE = """\
# wetread settings. Environment variables go over this file: WETREAD_NODE__PORT=104.
# Relative paths are relative to the folder of this file.

[node]
ae_title = "WETREAD"              # what the console calls; 1 to 16 characters
host = "0.0.0.0"                  # where to listen; 127.0.0.1 for this machine alone
port = 11112
data_dir = "wetread-data"         # archive, results, SQLite file
receivers = 1                     # processes that listen; 2 when many consoles send at once
free_megabytes = 1024             # with less free disk, images are refused (A700); 0: never

[tls]                             # encrypted DICOM for what comes in; see docs/security.md
certificate = ""                  # PEM file: ours and its chain; without it, no TLS
key = ""                          # PEM file: its private key, without a password
ca = ""                           # PEM file: who signs peers' certificates; each must show one then
port = 2762
require = true                    # there is no plain port then; false: both

# Who may send; repeat the section for each. With none listed, everyone who calls our AE title.
# [[peer]]
# name = "ct1"
# ae_title = "CT1"                # its calling AE title
# networks = []                   # where it may come from, e.g. ["10.1.2.0/24"]; none: anywhere
# called = []                     # AE titles it may call; none: the one of [node]
# certificate = ""                # a name in its TLS certificate, which it must then show
# user = ""                       # user identity it must show
# passcode_hash = ""              # of its passcode, as 'wetread config passcode' prints it
# sop_classes = []                # what it may send, e.g. ["CTImageStorage"]; none: everything
# object_megabytes = 0            # larger data sets are refused; 0: any size
# megabytes_per_second = 0        # it is slowed down to this; 0: as fast as it goes
# associations = 0                # how many at once; 0: as many as are taken at all
# urgent = false                  # true: its studies are read first, and their results sent first
# host = ""                       # where it listens for reports of storage commitment, if it does;
# port = 104                      # see docs/commitment.md
# tls = false                     # true: reports go encrypted, with the files of [tls]
# server_name = ""                # the name that its certificate must bear; none: host

[database]
url = "sqlite:///wetread-data/wetread.db"   # or postgresql+psycopg://user:password@host/name

[study]
# A study is due when no new image has come for this long, by modality.
quiet_seconds = { default = 30, CR = 5, DX = 5 }
release_seconds = 1               # due this long after the association is released; 0: off

[worker]
processes = 1                     # how many 'wetread up' starts
batch = 0                         # studies read together; 0: as the model says on a GPU, else one
lease_seconds = 30                # a worker that says nothing for this long has lost its job
attempts = 5                      # then the job is dead, with the reason
retry_seconds = 2                 # wait after the first failure; doubles, up to ...
retry_longest_seconds = 300

[delivery]
attempts = 300                    # answers, none of them Success; then dead, with the reason
retry_seconds = 2
retry_longest_seconds = 600
lease_seconds = 120
batch = 32                        # results that are claimed at once
commitment_seconds = 86400        # without a report for so long, a result is sent again

[storage]                         # what is removed, and when; see docs/storage.md
source_days = 0                   # images, this long after their study's last one; 0: never
delivered_days = 0                # the same where every result has arrived; 0.04 is an hour
purge_megabytes = 0               # with less free disk, the oldest studies' images; 0: never
result_days = 0                   # results, and all that is known of the study; 0: never

[models]
folders = []                      # each holds model packages; our own, and what is installed in
                                  # data_dir/models, are always there
disabled = []                     # names of models not to run
concurrency = {}                  # e.g. { head-ct-triage = 1 }: most at once, on all hosts together

[log]
level = "info"                    # debug, info, warning, error
json_lines = false                # one JSON object per line, for a log collector
file = "log/wetread.log"          # the same for 'wetread logs'; relative to data_dir; "": no file

[audit]                           # who did what, by the DICOM standard; see docs/audit.md
file = "audit/audit.xml"          # one message per line; relative to data_dir; "": no file
file_megabytes = 64               # then a new one; the full one gets a number and is kept
syslog_host = ""                  # an audit server that takes syslog over TLS (RFC 5425)
syslog_port = 6514
ca = ""                           # PEM file: who signs the server's certificate; none: the system's
certificate = ""                  # PEM file: ours, where the server wants to see one
key = ""                          # PEM file: its private key, without a password
spool_megabytes = 64              # what may wait while the server is away; then new ones are lost
spool_days = 30                   # and for how long
source_id = ""                    # what the messages call this node; none: its AE title
enterprise_site = ""              # the site, where the AE title is not unique
patient = "none"                  # "id": messages about a study hold the Patient ID; never a name

[web]                             # the dashboard; see docs/dashboard.md
enabled = true                    # whether 'wetread up' starts it
host = "127.0.0.1"                # where to listen; 0.0.0.0 for everybody, then with a certificate
port = 11180
names = []                        # host names it is called by, besides localhost and host
login = "password"                # of 'wetread users'; "header": a proxy in front says who it is
header = "X-Remote-User"          # in which the proxy names the account
proxies = []                      # networks of proxies that are believed, e.g. ["127.0.0.1/32"]
certificate = ""                  # PEM file: ours and its chain; without it, no HTTPS
key = ""                          # PEM file: its private key, without a password

[metrics]                         # for Prometheus, at /metrics of [web]; see docs/monitoring.md
networks = ["127.0.0.0/8", "::1/128"]   # who may read them, and
token_file = ""                   # file: a token; who shows it as bearer may, from anywhere

# Where results go; repeat the section for more than one.
[[destination]]
name = "pacs"
ae_title = "ORTHANC"
host = "127.0.0.1"
port = 4242
url = ""                          # instead of these three: its DICOMweb base URL, for STOW-RS
user = ""                         # with url: as whom it knows us
secret_file = ""                  # file: the user's password; without a user, a bearer token
associations = 1                  # how many at once; more where one is too slow
commitment = false                # true: it is asked to commit to keeping what it got
check_patient = "if-known"        # hold a result if it knows the study as another patient's; "off",
                                  # "required": also if it does not know it; see docs/delivery.md
tls = false                       # true: encrypted; the rest is for that, see docs/security.md
ca = ""                           # PEM file: who signs its certificate; none: the system's
certificate = ""                  # PEM file: ours, where it wants to see one
key = ""                          # PEM file: its private key, without a password
server_name = ""                  # the name that its certificate must bear; none: host

[destination.results]             # what this destination gets
send = ["sr", "text", "sc"]       # and: gsps, kos, seg, pdf, pm; see docs/results.md
language = "en"                   # en, ja, fr
# The report goes as the first of these that is accepted; basic-text only without "text" above.
fallback = ["comprehensive-3d", "comprehensive", "enhanced", "basic-text"]
banner = ""                       # in the overlay's upper band instead of the notice
series_numbers = {}               # { sc = 901, text = 902, sr = 903, ... } are the defaults
negatives = true                  # false: nothing is sent of what is called normal
not_processed = false             # true: a notice says why a study was not read
key_images = "of-interest"        # or for-research: the title of kos
"""
