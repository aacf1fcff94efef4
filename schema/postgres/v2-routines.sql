{{/* The routines of the relational schema. */}}

{{define "packet-arguments"}}oob_time_sec bigint, oob_time_usec bigint, oob_hook integer, oob_prefix varchar, oob_mark bigint,
  oob_in varchar, oob_out varchar, oob_family integer, ip_saddr_str inet, ip_daddr_str inet,
  ip_protocol integer, ip_tos integer, ip_ttl integer, ip_totlen integer, ip_ihl integer, ip_csum integer, ip_id integer, ip_fragoff integer,
  ip6_payloadlen integer, ip6_priority integer, ip6_hoplimit integer, ip6_flowlabel bigint, ip6_fragoff integer, ip6_fragid bigint{{end}}

{{define "v2-routines"}}
create function insert_ip_packet_full({{template "packet-arguments"}}, label integer)
returns bigint as $$
  insert into ulog2 (oob_time_sec, oob_time_usec, oob_hook, oob_prefix, oob_mark, oob_in, oob_out, oob_family, ip_saddr_str, ip_daddr_str,
    ip_protocol, ip_tos, ip_ttl, ip_totlen, ip_ihl, ip_csum, ip_id, ip_fragoff,
    ip6_payloadlen, ip6_priority, ip6_hoplimit, ip6_flowlabel, ip6_fragoff, ip6_fragid, label)
  values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25)
  returning _id;
$$ language sql;

create function insert_ip_packet(oob_time_sec bigint, oob_time_usec bigint, oob_prefix varchar, oob_mark bigint,
  oob_in varchar, oob_out varchar, oob_family integer, ip_saddr_str inet, ip_daddr_str inet, ip_protocol integer)
returns bigint as $$
  insert into ulog2 (oob_time_sec, oob_time_usec, oob_prefix, oob_mark, oob_in, oob_out, oob_family, ip_saddr_str, ip_daddr_str, ip_protocol)
  values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
  returning _id;
$$ language sql;

create function insert_tcp_full(tcp_id bigint, tcp_sport integer, tcp_dport integer, tcp_seq bigint, tcp_ackseq bigint, tcp_window integer,
  tcp_urg boolean, tcp_urgp integer, tcp_ack boolean, tcp_psh boolean, tcp_rst boolean, tcp_syn boolean, tcp_fin boolean)
returns bigint as $$
  insert into tcp (_tcp_id, tcp_sport, tcp_dport, tcp_seq, tcp_ackseq, tcp_window, tcp_urg, tcp_urgp, tcp_ack, tcp_psh, tcp_rst, tcp_syn, tcp_fin)
  values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
  returning _tcp_id;
$$ language sql;

create function insert_udp(udp_id bigint, udp_sport integer, udp_dport integer, udp_len integer) returns bigint as $$
  insert into udp (_udp_id, udp_sport, udp_dport, udp_len) values ($1, $2, $3, $4)
  returning _udp_id;
$$ language sql;

create function insert_sctp(sctp_id bigint, sctp_sport integer, sctp_dport integer, sctp_csum bigint) returns bigint as $$
  insert into sctp (_sctp_id, sctp_sport, sctp_dport, sctp_csum) values ($1, $2, $3, $4)
  returning _sctp_id;
$$ language sql;

create function insert_icmp(icmp_id bigint, icmp_type integer, icmp_code integer, icmp_echoid integer, icmp_echoseq integer,
  icmp_gateway bigint, icmp_fragmtu integer)
returns bigint as $$
  insert into icmp (_icmp_id, icmp_type, icmp_code, icmp_echoid, icmp_echoseq, icmp_gateway, icmp_fragmtu)
  values ($1, $2, $3, $4, $5, $6, $7)
  returning _icmp_id;
$$ language sql;

create function insert_icmpv6(icmpv6_id bigint, icmpv6_type integer, icmpv6_code integer, icmpv6_echoid integer, icmpv6_echoseq integer,
  icmpv6_csum integer)
returns bigint as $$
  insert into icmpv6 (_icmpv6_id, icmpv6_type, icmpv6_code, icmpv6_echoid, icmpv6_echoseq, icmpv6_csum)
  values ($1, $2, $3, $4, $5, $6)
  returning _icmpv6_id;
$$ language sql;

create function insert_hardware_header(hw_id bigint, hw_type integer, hw_addr varchar) returns bigint as $$
  insert into hwhdr (_hw_id, raw_type, raw_header) values ($1, $2, $3)
  returning _hw_id;
$$ language sql;

-- Others may make the same row at the same time; then it is there at the next look.
create function insert_or_select_mac(in_mac_saddr macaddr, in_mac_daddr macaddr, in_mac_protocol integer) returns bigint as $$
declare
  number bigint;
begin
  if in_mac_saddr is null then
    return null;
  end if;
  loop
    select min(_mac_id) into number from mac
      where mac_saddr = in_mac_saddr and mac_daddr is not distinct from in_mac_daddr and mac_protocol is not distinct from in_mac_protocol;
    if number is null then
      insert into mac (mac_saddr, mac_daddr, mac_protocol) values (in_mac_saddr, in_mac_daddr, in_mac_protocol)
        on conflict do nothing returning _mac_id into number;
    end if;
    if number is not null then
      return number;
    end if;
  end loop;
end;
$$ language plpgsql;

create function insert_packet_full({{template "packet-arguments"}},
  tcp_sport integer, tcp_dport integer, tcp_seq bigint, tcp_ackseq bigint, tcp_window integer, tcp_urg boolean, tcp_urgp integer,
  tcp_ack boolean, tcp_psh boolean, tcp_rst boolean, tcp_syn boolean, tcp_fin boolean, udp_sport integer, udp_dport integer, udp_len integer,
  icmp_type integer, icmp_code integer, icmp_echoid integer, icmp_echoseq integer, icmp_gateway bigint, icmp_fragmtu integer,
  icmpv6_type integer, icmpv6_code integer, icmpv6_echoid integer, icmpv6_echoseq integer, icmpv6_csum integer,
  raw_type integer, raw_header varchar, mac_saddr varchar, mac_daddr varchar, mac_protocol integer, label integer,
  sctp_sport integer, sctp_dport integer, sctp_csum bigint)
returns bigint as $$
declare
  number bigint;
  address bigint;
begin
  if $51 = 1 then
    address := insert_or_select_mac($53::macaddr, $54::macaddr, $55);
  end if;
  insert into ulog2 (oob_time_sec, oob_time_usec, oob_hook, oob_prefix, oob_mark, oob_in, oob_out, oob_family, ip_saddr_str, ip_daddr_str,
    ip_protocol, ip_tos, ip_ttl, ip_totlen, ip_ihl, ip_csum, ip_id, ip_fragoff,
    ip6_payloadlen, ip6_priority, ip6_hoplimit, ip6_flowlabel, ip6_fragoff, ip6_fragid, label, mac_id)
  values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $56, address)
  returning _id into number;
  case $11
    when 6 then perform insert_tcp_full(number, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36);
    when 17 then perform insert_udp(number, $37, $38, $39);
    when 132 then perform insert_sctp(number, $57, $58, $59);
    when 1 then perform insert_icmp(number, $40, $41, $42, $43, $44, $45);
    when 58 then perform insert_icmpv6(number, $46, $47, $48, $49, $50);
    else null;
  end case;
  if $51 is distinct from 1 and ($51 is not null or $52 is not null) then
    perform insert_hardware_header(number, $51, $52);
  end if;
  return number;
end;
$$ language plpgsql;

create function delete_packet(_packet_id bigint) returns void as $$
  delete from tcp where _tcp_id = $1;
  delete from udp where _udp_id = $1;
  delete from sctp where _sctp_id = $1;
  delete from icmp where _icmp_id = $1;
  delete from icmpv6 where _icmpv6_id = $1;
  delete from hwhdr where _hw_id = $1;
  delete from nufw where _nufw_id = $1;
  delete from ulog2 where _id = $1;
$$ language sql;

-- Removes what belongs to no packet, and packets that lack what belongs to them.
create function compress_tables() returns void as $$
  delete from nufw where not exists (select 1 from ulog2 where _id = _nufw_id);
  delete from hwhdr where not exists (select 1 from ulog2 where _id = _hw_id);
  delete from tcp where not exists (select 1 from ulog2 where _id = _tcp_id and ip_protocol = 6);
  delete from udp where not exists (select 1 from ulog2 where _id = _udp_id and ip_protocol = 17);
  delete from sctp where not exists (select 1 from ulog2 where _id = _sctp_id and ip_protocol = 132);
  delete from icmp where not exists (select 1 from ulog2 where _id = _icmp_id and ip_protocol = 1);
  delete from icmpv6 where not exists (select 1 from ulog2 where _id = _icmpv6_id and ip_protocol = 58);
  select delete_packet(_id) from ulog2 where
    ip_protocol = 6 and not exists (select 1 from tcp where _tcp_id = _id) or
    ip_protocol = 17 and not exists (select 1 from udp where _udp_id = _id) or
    ip_protocol = 132 and not exists (select 1 from sctp where _sctp_id = _id) or
    ip_protocol = 1 and not exists (select 1 from icmp where _icmp_id = _id) or
    ip_protocol = 58 and not exists (select 1 from icmpv6 where _icmpv6_id = _id);
  delete from mac where not exists (select 1 from ulog2 where mac_id = _mac_id);
$$ language sql;

create function ulog2_add_foreign_keys() returns void as $$
begin
{{- if .Daily}}
  raise exception 'ulog2 has partitions, which leaves no room for foreign keys';
{{- else}}
  alter table ulog2 add constraint mac_id_fk foreign key (mac_id) references mac (_mac_id);
  alter table tcp add constraint tcp_id_fk foreign key (_tcp_id) references ulog2 (_id);
  alter table udp add constraint udp_id_fk foreign key (_udp_id) references ulog2 (_id);
  alter table sctp add constraint sctp_id_fk foreign key (_sctp_id) references ulog2 (_id);
  alter table icmp add constraint icmp_id_fk foreign key (_icmp_id) references ulog2 (_id);
  alter table icmpv6 add constraint icmpv6_id_fk foreign key (_icmpv6_id) references ulog2 (_id);
{{- end}}
end;
$$ language plpgsql;

create function ulog2_drop_foreign_keys() returns void as $$
begin
{{- if .Daily}}
  raise exception 'ulog2 has partitions, which leaves no room for foreign keys';
{{- else}}
  alter table ulog2 drop constraint mac_id_fk;
  alter table tcp drop constraint tcp_id_fk;
  alter table udp drop constraint udp_id_fk;
  alter table sctp drop constraint sctp_id_fk;
  alter table icmp drop constraint icmp_id_fk;
  alter table icmpv6 drop constraint icmpv6_id_fk;
{{- end}}
end;
$$ language plpgsql;
{{end}}
